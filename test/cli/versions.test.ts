import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { type KeyValue, type RangeRequest, leaseId, revision } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { answer, headerText, kv, reply, run } from "./harness.ts";

/** History, diff and rollback: what a key was, and the way back. */

const actor = { issuer: "https://issuer", subject: "user:alice", requestId: "r-1" };
const time = 1_795_000_000_000;

describe("history", () => {
  const put = { type: "put" as const, kv: kv("k", "s\u001b", 7), actor, time, valueBytes: 2 };
  const page = {
    items: [{ ...put, type: "delete" as const }, put],
    more: false,
    valuesWithheld: false,
  };

  test("values are neither asked for nor shown unless told to", async () => {
    const { asked, method } = answer(page);
    const client = { history: method };
    const table = [
      "REVISION  CHANGE  VERSION  BYTES  TIME                  ACTOR                        REQUEST",
      "7         delete  -        -      2026-11-18T11:06:40Z  user:alice (https://issuer)  r-1",
      "7         put     1        2      2026-11-18T11:06:40Z  user:alice (https://issuer)  r-1",
      "",
    ];
    assert.equal((await run(["history", "k"], { client })).stdout, table.join("\n"));
    const argv = ["history", "k", "--values", "--before", "9", "--limit=2"];
    assert.match((await run(argv, { client })).stdout, /r-1 {6}s\\x1b\n$/);
    const json = await run(["history", "k", "-w", "json"], { client });
    const start = `{${headerText},"items":[{"type":"delete","kv":{"key":"aw=="`;
    assert.ok(json.stdout.startsWith(start), json.stdout);
    assert.deepEqual(asked, [
      { key: "k", before: 0, limit: 20, values: false },
      { key: "k", before: 9, limit: 2, values: true },
      { key: "k", before: 0, limit: 20, values: true },
    ]);
  });

  test("who may only list is told that values are left out, and where the older ones are", async () => {
    const { method } = answer({ ...page, more: true, valuesWithheld: true });
    const { stdout, stderr } = await run(["history", "k", "--values"], {
      client: { history: method },
    });
    assert.doesNotMatch(stdout, /VALUE/);
    assert.match(stderr, /you may list this key, and not read it/);
    assert.match(stderr, /older revisions: coffer history KEY --before 7/);
  });
});

/** A key that held these values at these revisions. */
function versions(of: { readonly [at: number]: KeyValue | undefined }): {
  readonly asked: number[];
  readonly range: (request: RangeRequest) => Promise<never>;
} {
  const asked: number[] = [];
  const range = async (request: RangeRequest): Promise<never> => {
    asked.push(request.revision);
    if (!(request.revision in of)) throw new CofferError("compacted");
    const found = of[request.revision];
    return reply({ kvs: found === undefined ? [] : [found], more: false, count: 1 }) as never;
  };
  return { asked, range };
}

describe("diff", () => {
  const old = kv("k", "a\nb\u001b\nc\n", 3);
  const now = kv("k", "a\nB\nc\n", 5);

  test("between two revisions, by lines that cannot steer a terminal", async () => {
    const { asked, range } = versions({ 3: old, 4: old, 0: now });
    const text = ["--- k revision 3", "+++ k now (of revision 5)", "@@ -1,3 +1,3 @@", " a"];
    const lines = [...text, "-b\\x1b", "+B", " c", ""];
    const diff = await run(["diff", "k", "--rev", "3"], { client: { range } });
    assert.deepEqual([diff.code, diff.stdout], [1, lines.join("\n")]);
    const same = await run(["diff", "k", "--rev", "3", "--rev", "4"], { client: { range } });
    assert.deepEqual([same.code, same.stdout], [0, ""]);
    assert.deepEqual(asked, [3, 0, 3, 4]);
    const json = await run(["diff", "k", "--rev", "3", "-w", "json"], { client: { range } });
    const told = JSON.parse(json.stdout) as { readonly equal: boolean; readonly hunks: unknown };
    assert.equal(told.equal, false);
    assert.deepEqual(told.hunks, [
      { header: "@@ -1,3 +1,3 @@", lines: [" a", "-b\u001b", "+B", " c"] },
    ]);
    const gone = await run(["diff", "k", "--rev", "1"], { client: { range } });
    assert.match(gone.stderr, /compacted\nOlder revisions are gone/);
    const many = await run(["diff", "k", "--rev", "3", "--rev", "4", "--rev", "0"], {
      client: { range },
    });
    assert.equal(many.code, 2);
  });

  test("binary values by size and digest, and a key that does not exist", async () => {
    const binary = kv("k", Uint8Array.of(0, 255), 5);
    const { range } = versions({ 2: undefined, 3: old, 0: binary });
    const { stdout } = await run(["diff", "k", "--rev", "3"], { client: { range } });
    assert.match(stdout, /\n-7 bytes, sha256 [0-9a-f]{64}\n\+2 bytes, sha256 [0-9a-f]{64}\n$/);
    const made = await run(["diff", "k", "--rev", "2", "--rev", "3"], { client: { range } });
    assert.match(
      made.stdout,
      /^--- k revision 2 \(does not exist\)\n\+\+\+ k revision 3\n@@ -0,0 \+1,3 @@\n\+a\n/,
    );
  });

  test("a line end at the end is told where it is the difference", async () => {
    const { range } = versions({ 3: kv("k", "a", 3), 4: kv("k", "b", 4), 0: kv("k", "a\n", 5) });
    const text = await run(["diff", "k", "--rev", "3", "--rev", "4"], { client: { range } });
    assert.doesNotMatch(text.stdout, /No newline/);
    const end = await run(["diff", "k", "--rev", "3"], { client: { range } });
    assert.match(end.stdout, /No newline/);
  });

  test("without --rev: what the last change changed", async () => {
    const item = (value: KeyValue, type: "put" | "delete"): object => ({
      type,
      kv: value,
      actor,
      time,
      valueBytes: 1,
    });
    const page = { more: false, valuesWithheld: false };
    const last = async (items: readonly object[], withheld = false): Promise<string> => {
      const { method } = answer({ ...page, items, valuesWithheld: withheld });
      const outcome = await run(["diff", "k"], { client: { history: method as never } });
      return outcome.stdout + outcome.stderr;
    };
    assert.match(
      await last([item(now, "put"), item(old, "put")]),
      /^--- k revision 3\n\+\+\+ k revision 5\n/,
    );
    assert.match(
      await last([item(now, "delete"), item(old, "put")]),
      /\+\+\+ k revision 5 \(does not exist\)/,
    );
    assert.match(await last([item(now, "put")]), /^--- k revision 4 \(does not exist\)/);
    assert.match(await last([item({ ...now, version: 4 }, "put")]), /compacted/);
    assert.match(await last([]), /not found: a revision of the key/);
    assert.match(await last([item(now, "put")], true), /permission denied/);
  });
});

describe("rollback", () => {
  const old = kv("k", "old", 3);
  const now = { ...kv("k", "now", 5), lease: leaseId(0x2an) };

  test("puts the old value in one transaction, on the lease that the key has", async () => {
    const { range } = versions({ 3: old, 0: now });
    const { asked, method } = answer({ succeeded: true, responses: [] });
    const client = { range, txn: method };
    const { code, stdout } = await run(["rollback", "k", "--rev", "3"], { client });
    assert.equal(code, 0);
    assert.equal(
      stdout,
      '"k" is again what it was at revision 3: revision 6; it stays on lease 000000000000002a\n',
    );
    const compare = { key: "k", rangeEnd: "", target: "mod", result: "equal", operand: 5 };
    const request = {
      key: "k",
      value: Buffer.from("old"),
      lease: 0n,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: true,
    };
    assert.deepEqual(asked, [
      { compare: [compare], success: [{ kind: "put", request }], failure: [] },
    ]);
    const dry = await run(["rollback", "k", "--rev", "3", "--dry-run"], { client });
    assert.match(
      dry.stdout,
      /^--- k now \(of revision 5\)\n\+\+\+ k revision 3\n@@ .*\n-now\n\+old\n$/,
    );
    assert.equal(asked.length, 1);
  });

  test("a key that is gone comes back on no lease, and says so", async () => {
    const { range } = versions({ 3: { ...old, lease: leaseId(7n) }, 0: undefined });
    const { asked, method } = answer({ succeeded: true, responses: [] });
    const { stdout } = await run(["rollback", "k", "--rev", "3"], {
      client: { range, txn: method },
    });
    assert.match(stdout, /it was on lease 0000000000000007 then, and is on none now/);
    assert.match(
      JSON.stringify(asked, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v)),
      /"operand":0.*"ignoreLease":false/,
    );
  });

  test("back to deleted only with --delete", async () => {
    const { range } = versions({ 2: undefined, 0: now });
    const { asked, method } = answer({ succeeded: true, responses: [] });
    const client = { range, txn: method };
    const refused = await run(["rollback", "k", "--rev", "2"], { client });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /did not exist at revision 2: give --delete/);
    const done = await run(["rollback", "k", "--rev", "2", "--delete"], { client });
    assert.equal(done.stdout, 'deleted "k", as at revision 2: revision 6\n');
    assert.equal(asked.length, 1);
  });

  test("a change meanwhile is a conflict that names the next step; the same value makes none", async () => {
    const { range } = versions({ 3: old, 0: { ...now, modRevision: revision(9) } });
    const { method } = answer({ succeeded: false, responses: [] });
    const lost = await run(["rollback", "k", "--rev", "3"], { client: { range, txn: method } });
    assert.equal(lost.code, 6);
    assert.match(lost.stderr, /changed while it was rolled back.*\nSomebody changed it meanwhile/);
    const same = versions({ 3: old, 0: { ...old, modRevision: revision(9) } });
    const none = await run(["rollback", "k", "--rev", "3"], { client: { range: same.range } });
    assert.equal(none.stdout, "nothing to change: it is what it was then\n");
    const compacted = await run(["rollback", "k", "--rev", "1"], { client: { range } });
    assert.match(compacted.stderr, /compacted/);
    assert.match((await run(["rollback", "k"], { client: { range } })).stderr, /--rev is missing/);
  });
});
