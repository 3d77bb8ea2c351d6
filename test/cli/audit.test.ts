import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import type {
  AuditFound,
  AuditSearch,
  AuditVerdict,
  CofferClient,
  Connect,
  VerifiedTrail,
} from "../../src/cli/mod.ts";
import { type MemberInfo, memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { reply, run } from "./harness.ts";

/** The member that the harness's client answers for (its header), and another one. */
const OWN = memberId(17628310501313495538n);
const OTHER = memberId(2n);

const memberOf = (id: MemberInfo["id"], name: string): MemberInfo => ({
  id,
  name,
  peerUrls: [`https://${name}:2380`],
  clientUrls: [`https://${name}:2379`],
  isLearner: false,
});

const line = (at: number, member: string, more = ""): string =>
  `{"time":"2026-11-22T12:00:0${at}.000Z","member":"${member}"${more}}`;

const pageOf = (lines: readonly string[], done = true): AuditFound => ({
  lines,
  next: "next",
  done,
  end: "end",
});

/** A client whose searches are answered by `pages` in turn; the first question is whether it is there. */
function member(pages: readonly AuditFound[]): {
  readonly asked: AuditSearch[];
  readonly client: Partial<CofferClient>;
} {
  const asked: AuditSearch[] = [];
  const left = [pageOf([]), ...pages];
  const auditSearch: CofferClient["auditSearch"] = async (search) => {
    asked.push(search);
    return reply(left.shift() ?? pageOf([]));
  };
  return { asked, client: { auditSearch } };
}

const one: Partial<CofferClient> = { memberList: async () => reply([memberOf(OWN, "m1")]) };

/** Two members: the one asked first, and another at an address of its own. */
function two(own: Partial<CofferClient>, other: Partial<CofferClient>): Connect {
  const close = async (): Promise<void> => undefined;
  const memberList = async () => reply([memberOf(OWN, "m1"), memberOf(OTHER, "m2")]);
  return async ({ endpoints }) => {
    const client = endpoints[0]?.host === "m2" ? other : { memberList, ...own };
    return { ...client, close } as CofferClient;
  };
}

describe("audit", () => {
  test("tail prints the newest, oldest first, and passes the filters on", async () => {
    const { asked, client } = member([pageOf([line(2, "m1")], false), pageOf([line(1, "m1")])]);
    const filters = ["--subject", "user:a", "--action", "put", "--outcome", "refused"];
    const more = ["--request-id", "r1", "--key-prefix", "/é", "--since", "2026-11-22"];
    const argv = ["audit", "tail", "--limit", "5", ...filters, ...more, "--of-tenant", "blue"];
    const { stdout } = await run(argv, { client: { ...one, ...client } });
    assert.equal(stdout, `${line(1, "m1")}\n${line(2, "m1")}\n`);
    const [, first, second] = asked;
    assert.deepEqual(first, {
      limit: 5,
      oldestFirst: false,
      cursor: "",
      subject: "user:a",
      action: "put",
      outcome: "refused",
      requestId: "r1",
      keyPrefix: "/\u00c3\u00a9",
      fromTime: Date.UTC(2026, 10, 22),
      toTime: 0,
      tenant: "blue",
    });
    assert.deepEqual([second?.limit, second?.cursor], [4, "next"]);
  });

  test("search asks every member and joins by time; a limit is of all", async () => {
    const own = member([pageOf([line(3, "m1"), line(1, "m1")])]);
    const other = member([pageOf([line(4, "m2"), line(2, "m2")])]);
    const connect = two(own.client, other.client);
    const all = await run(["audit", "search"], { connect });
    assert.equal(all.code, 0, all.stderr);
    assert.deepEqual(all.stdout.match(/:0\d(?=\.)/g), [":01", ":02", ":03", ":04"]);
    const again = two(
      member([pageOf([line(3, "m1"), line(1, "m1")])]).client,
      member([pageOf([line(4, "m2"), line(2, "m2")])]).client,
    );
    const { stdout } = await run(["audit", "search", "--limit", "2"], { connect: again });
    assert.equal(stdout, `${line(3, "m1")}\n${line(4, "m2")}\n`);
  });

  test("a member that does not answer is told of, and by the exit code", async () => {
    const own = member([pageOf([line(1, "m1")])]);
    const auditSearch = async (): Promise<never> => {
      throw new CofferError("unreachable", "https://m2:2379: refused");
    };
    const connect = two(own.client, { auditSearch });
    const { code, stdout, stderr } = await run(["audit", "search"], { connect });
    assert.deepEqual([code, stdout], [5, `${line(1, "m1")}\n`]);
    assert.match(stderr, /^m2: .*refused.*: its records are not here\n$/);
  });

  test("--member asks that one alone, and names who is not there", async () => {
    const other = member([pageOf([line(2, "m2")])]);
    const connect = two({}, other.client);
    const { stdout } = await run(["audit", "tail", "--member", "m2"], { connect });
    assert.equal(stdout, `${line(2, "m2")}\n`);
    const { code, stderr } = await run(["audit", "tail", "--member", "m9"], { connect });
    assert.equal(code, 2);
    assert.match(stderr, /no member is called m9; see coffer member list/);
  });

  test("tail --follow goes on behind the end, without the records of its asking", async () => {
    const stop = new AbortController();
    const own = line(3, "m1", ',"action":"audit-search"');
    const { asked, client } = member([pageOf([]), pageOf([own, line(4, "m1")])]);
    const auditSearch: CofferClient["auditSearch"] = async (search) => {
      if (asked.length === 2) stop.abort();
      return client.auditSearch?.(search) ?? reply(pageOf([]));
    };
    const session = { client: { ...one, auditSearch }, signal: stop.signal };
    const { code, stdout } = await run(["audit", "tail", "-f"], session);
    assert.equal(code, 0);
    assert.equal(stdout, `${line(4, "m1")}\n`);
    assert.deepEqual([asked[2]?.cursor, asked[2]?.oldestFirst], ["end", true]);
  });

  test("a time is a date or an age", async () => {
    const { asked, client } = member([]);
    const before = Date.now();
    await run(["audit", "search", "--since", "2h"], { client: { ...one, ...client } });
    const from = asked[1]?.fromTime ?? 0;
    assert.ok(from >= before - 7_200_000 && from <= Date.now() - 7_200_000);
    const { stderr } = await run(["audit", "search", "--since", "noon"]);
    assert.match(stderr, /"noon" is neither a time such as/);
  });

  test("export writes all pages of all members, then their checkpoints", async (context) => {
    const checkpoint = (of: string): string => `{"checkpoint":"head","member":"${of}"}`;
    const auditCheckpoints = async () => reply(["m1", "m2", "m9"].map(checkpoint));
    const connect = (): Connect =>
      two(
        {
          ...member([pageOf([line(1, "m1")], false), pageOf([line(3, "m1")])]).client,
          auditCheckpoints,
        },
        member([pageOf([line(2, "m2")])]).client,
      );
    const expected = [
      line(1, "m1"),
      line(3, "m1"),
      line(2, "m2"),
      checkpoint("m1"),
      checkpoint("m2"),
    ];
    const text = `${expected.join("\n")}\n`;
    assert.equal((await run(["audit", "export"], { connect: connect() })).stdout, text);
    const path = join(folderOf(context), "trail.jsonl");
    const argv = ["audit", "export", "--out", path];
    assert.equal((await run(argv, { connect: connect() })).code, 0);
    assert.equal(readFileSync(path, "utf8"), text);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const { code, stderr } = await run(argv, { connect: connect() });
    assert.equal(code, 2);
    assert.match(stderr, /--out .*: the file is there already/);
    assert.match((await run(["audit", "export", "--of-tenant", "x"])).stderr, /--tenant system/);
  });

  test("checkpoints as a table, and as verify takes them", async () => {
    const line1 =
      '{"checkpoint":"head","member":"m1","seq":7,"time":"2026-11-22T12:00:00.000Z","keyId":"k1"}';
    const client = { auditCheckpoints: async () => reply([line1]) };
    const { stdout } = await run(["audit", "checkpoints"], { client });
    assert.equal(
      stdout,
      "MEMBER  KIND  RECORD  TIME                      KEY\n" +
        "m1      head  7       2026-11-22T12:00:00.000Z  k1\n",
    );
    const json = await run(["audit", "checkpoints", "-w", "json"], { client });
    const parsed = JSON.parse(json.stdout) as { readonly checkpoints: readonly unknown[] };
    assert.deepEqual(parsed.checkpoints, [JSON.parse(line1)]);
  });

  test("verify takes a file or a folder, and checkpoints", async (context) => {
    const path = join(folderOf(context), "kept.json");
    const orders: unknown[] = [];
    const verifyAudit = async (order: unknown) => {
      orders.push(order);
      return verdictOf(trail());
    };
    const session = {
      services: { verifyAudit },
      files: { [path]: "kept" },
      env: { COFFER_DATA_DIR: "d" },
    };
    const argv = ["audit", "verify", "t.jsonl", "--checkpoints", path, "--key-id", "k1"];
    assert.equal((await run(argv, session)).code, 0);
    assert.equal((await run(["audit", "verify"], session)).code, 0);
    const none = { file: undefined, checkpoints: undefined, keyId: undefined };
    assert.deepEqual(orders, [
      { dataDir: undefined, file: "t.jsonl", checkpoints: "kept", keyId: "k1" },
      { dataDir: "d", ...none },
    ]);
    assert.match((await run(["audit", "verify", "a", "b"], session)).stderr, /takes one FILE/);
    const both = await run(["audit", "verify", "a", "--data-dir", "x"], session);
    assert.match(both.stderr, /either FILE or --data-dir/);
    assert.equal((await run(["audit", "verify"])).code, 2);
    const alone = await run(["audit", "verify", "a", "--allow-unsigned", "1m"], session);
    assert.deepEqual([alone.code, orders.length], [2, 2]);
  });
});

const SIGNED_AT = Date.UTC(2026, 10, 22, 12);
const HASH = "ab".repeat(32);

/** A trail of ten records that is proven to its end. */
const trail = (changes: Partial<VerifiedTrail> = {}): VerifiedTrail => ({
  place: "m1/audit",
  member: "a1",
  tenant: undefined,
  records: 10,
  first: 1,
  head: { seq: 10, hash: HASH },
  proven: 10,
  provenTime: SIGNED_AT,
  unsigned: 0,
  unsignedSince: undefined,
  ...changes,
});
const partial = (unsignedSince: number): VerifiedTrail =>
  trail({ proven: 4, unsigned: 6, unsignedSince });
const bare = trail({ proven: 0, provenTime: undefined, unsigned: 10, unsignedSince: SIGNED_AT });

const verdictOf = (...chains: readonly VerifiedTrail[]): AuditVerdict => ({
  ok: true,
  records: chains.reduce((sum, { records }) => sum + records, 0),
  broken: [],
  chains,
  sources: [{ place: "m1/audit", source: "state.db", keys: ["k1"], isTrusted: true }],
});

const verified = (verdict: AuditVerdict, ...more: readonly string[]) =>
  run(["audit", "verify", "t.jsonl", ...more], {
    services: { verifyAudit: async () => verdict },
  });

const REQUIRE = "--require-checkpoint";
const WHOSE = `m1/audit: member a1: 10 records, the last is 10 ${HASH}`;
const SOURCE = "m1/audit: checkpoints of state.db, signed by k1";

describe("audit verify tells at a glance up to where it is proven", () => {
  test("all of it", async () => {
    const { code, stdout } = await verified(verdictOf(trail()), REQUIRE);
    const upTo = "record 10 (checkpoint of 2026-11-22T12:00:00.000Z)";
    const lines = [
      `ok: all 10 records are proven, up to ${upTo}`,
      `${WHOSE}; proven up to ${upTo}`,
      SOURCE,
    ];
    assert.deepEqual([code, stdout], [0, `${lines.join("\n")}\n`]);
    const marks = trail({ records: 11, head: { seq: 11, hash: HASH } });
    const later = await verified(verdictOf(trail(), marks), REQUIRE);
    assert.equal(later.code, 0);
    assert.match(later.stdout, /^ok: all 21 records are proven, up to the last checkpoint of each/);
    assert.match(later.stdout, /Z\), after it only marks\n/);
  });

  test("a part of it, which is fine unless a checkpoint is required", async () => {
    const part = verdictOf(partial(SIGNED_AT));
    const { code, stdout } = await verified(part);
    const lines = [
      "ok up to record 4 (checkpoint of 2026-11-22T12:00:00.000Z)",
      "6 later records are chained but not yet signed, and could have been changed or cut off",
      `${WHOSE}; proven up to record 4 (checkpoint of 2026-11-22T12:00:00.000Z), 6 later not signed`,
      SOURCE,
    ];
    assert.deepEqual([code, stdout], [0, `${lines.join("\n")}\n`]);
    const required = await verified(part, REQUIRE);
    assert.deepEqual([required.code, required.stdout], [3, stdout]);
    assert.match(required.stderr, /^Not all .* covered by a checkpoint: --require-checkpoint\n$/);
    // Nor does a clock that is ahead, or an invented time, make it whole.
    assert.equal((await verified(verdictOf(partial(Date.now() + 60_000)), REQUIRE)).code, 3);
    const two = await verified(verdictOf(trail(), partial(SIGNED_AT)), REQUIRE);
    assert.equal(two.code, 3);
    assert.match(two.stdout, /^ok up to the last checkpoint of each trail\n6 later records are/);
  });

  test("young records may be allowed to have none yet", async () => {
    const allow = [REQUIRE, "--allow-unsigned", "10m"];
    assert.equal((await verified(verdictOf(partial(Date.now() - 60_000)), ...allow)).code, 0);
    assert.equal((await verified(verdictOf(partial(Date.now() - 660_000)), ...allow)).code, 3);
    // Without any checkpoint, all of it could be of this minute.
    const anew = { ...bare, unsignedSince: Date.now() };
    assert.equal((await verified(verdictOf(anew), ...allow)).code, 3);
  });

  test("none of it, which is said first, with what to do", async () => {
    const verdict = { ...verdictOf(bare), sources: [] };
    const { code, stdout } = await verified(verdict);
    const lines = [
      "not proven: no signed checkpoint is known; 10 records are in order, but could have been cut " +
        "off or all written anew",
      "Give checkpoints that were kept elsewhere: --checkpoints FILE, the output of coffer audit " +
        "checkpoints --tenant system -w json",
      `${WHOSE}; no checkpoint is known`,
    ];
    assert.deepEqual([code, stdout], [0, `${lines.join("\n")}\n`]);
    assert.equal((await verified(verdict, REQUIRE)).code, 3);
    const two = await verified(verdictOf(trail(), bare));
    assert.match(two.stdout, /^not proven: .* is known of 1 of 2 trails; 20 records/);
    const empty = trail({ member: "", records: 0, proven: 0, provenTime: undefined });
    const nothing = await verified(verdictOf(empty), REQUIRE);
    assert.equal(nothing.code, 3);
    assert.match(nothing.stdout, /\nm1\/audit: no records\n/);
  });

  test("a broken chain exits 1, whatever is required", async () => {
    const verdict: AuditVerdict = {
      ok: false,
      records: 12,
      broken: ["audit-1.jsonl:13: the chain is broken"],
      chains: [],
      sources: [],
    };
    const text = "broken: 12 records in order\naudit-1.jsonl:13: the chain is broken\n";
    for (const more of [[], [REQUIRE]]) {
      const { code, stdout } = await verified(verdict, ...more);
      assert.deepEqual([code, stdout], [1, text]);
    }
  });

  test("whoever could have made the checkpoints is told of", async () => {
    const sources = [{ place: "t", source: "the export itself", keys: ["k1"], isTrusted: false }];
    const { stdout } = await verified({ ...verdictOf(trail()), sources });
    assert.match(stdout, /signed by k1; who can write there could have signed anew: give --key-id/);
    // To a script that asks for proof they are none.
    const required = await verified({ ...verdictOf(trail()), sources }, REQUIRE);
    assert.equal(required.code, 3);
    assert.match(required.stderr, /^These checkpoints were found with the records, .*--key-id ID/);
  });

  test("JSON has the same facts", async () => {
    const part = verdictOf(partial(SIGNED_AT + 1000), trail({ tenant: "t1", first: 3 }));
    const { code, stdout } = await verified(part, "-w", "json", REQUIRE);
    assert.equal(code, 3);
    const { notes, ...facts } = JSON.parse(stdout) as Record<string, unknown>;
    const common = { place: "m1/audit", member: "a1", records: 10, last: 10, hash: HASH };
    const provenTime = "2026-11-22T12:00:00.000Z";
    assert.deepEqual(facts, {
      ok: true,
      proven: "part",
      records: 20,
      unsigned: 6,
      broken: [],
      chains: [
        {
          ...common,
          first: 1,
          proven: 4,
          provenTime,
          unsigned: 6,
          unsignedSince: "2026-11-22T12:00:01.000Z",
        },
        { ...common, tenant: "t1", first: 3, proven: 10, provenTime, unsigned: 0 },
      ],
      sources: part.sources,
    });
    assert.equal((notes as readonly string[]).length, 3);
    const broken = { ...part, ok: false, chains: [], broken: ["x:1: cut"] };
    const bad = JSON.parse((await verified(broken, "-w", "json")).stdout) as typeof facts;
    assert.deepEqual([bad["ok"], bad["proven"], bad["broken"]], [false, undefined, ["x:1: cut"]]);
  });
});

function folderOf(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-cli-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
