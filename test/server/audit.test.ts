import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type AuditEvent, openAudit } from "../../src/audit/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { rpc } from "../../src/proto/mod.ts";
import { verifyTrails } from "../../src/server/mod.ts";
import { rawCall, rawSession } from "../edge/raw.ts";
import { type World, type WorldOptions, auditRecords, bytes, startWorld } from "../edge/world.ts";

/** What a member does with its audit log beside writing it. */

async function worldOf(context: TestContext, options: WorldOptions = {}): Promise<World> {
  const world = await startWorld(options);
  context.after(() => world[Symbol.asyncDispose]());
  return world;
}

async function putSome(world: World, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await world.admin.put({ key: bytes(`/k/${i}`) });
}

const verify = (world: World, given: Partial<Parameters<typeof verifyTrails>[0]> = {}) => {
  const none = { file: undefined, checkpoints: undefined, keyId: undefined };
  return verifyTrails({ dataDir: world.dataDir, ...none, ...given });
};

interface Shown {
  readonly checkpoint: string;
  readonly member: string;
  readonly tenant: string;
  readonly seq: number;
  readonly keyId: string;
}

/** What `coffer audit checkpoints -w json` prints for operators, or for the tenant. */
async function checkpoints(
  world: World,
  tenant = "system",
): Promise<{ readonly text: string; readonly list: readonly Shown[] }> {
  const client = await world.as("user:admin", { tenants: [tenant] });
  const { checkpoints: lines } = await client.auditCheckpoints();
  const list = lines.map((line) => JSON.parse(line) as Shown);
  return { text: JSON.stringify({ checkpoints: list }), list };
}

/** Starts it and answers why it did not. */
async function refusal(world: World): Promise<string> {
  const error: unknown = await world.restart().then(
    () => assert.fail("it started"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CofferError, String(error));
  assert.equal(error.code, "corrupt");
  return error.message;
}

test("refusal 65: a stop signs the ends of all chains, which proves the log to its end", async (context) => {
  const world = await worldOf(context);
  await putSome(world, 3);
  await world.restart();
  const { list, text } = await checkpoints(world);
  assert.equal(list.length, 1);
  const ofTenant = await checkpoints(world, "default");
  assert.deepEqual(
    ofTenant.list.map(({ checkpoint }) => checkpoint),
    ["head"],
  );
  const seq = list[0]?.seq ?? 0;
  await world.stop();
  const good = await verify(world, { checkpoints: text });
  assert.deepEqual([good.ok, good.broken], [true, []]);
  assert.deepEqual(
    good.sources.map(({ keys, isTrusted }) => [keys, isTrusted]),
    [[[list[0]?.keyId], true]],
  );
  const beside = await verify(world);
  assert.equal(beside.ok, true);
  // All is signed: what comes after the last checkpoint is a mark.
  const [chain] = beside.chains;
  assert.equal(chain?.unsigned, 0);
  assert.ok(chain.proven > seq);
  assert.equal(chain.unsignedSince, undefined);
  assert.match(beside.sources[0]?.source ?? "", /state\.db, beside it/);
  assert.equal(beside.sources[0]?.isTrusted, false);
  const { keyId } = list[0] ?? {};
  assert.equal((await verify(world, { keyId })).sources[0]?.isTrusted, true);
  const strange = await verify(world, { keyId: "0".repeat(32) });
  assert.deepEqual([strange.ok, strange.records], [false, 0]);
  const forged = text.replace(`"seq":${seq}`, `"seq":${seq + 1}`);
  assert.match(
    (await verify(world, { checkpoints: forged })).broken[0] ?? "",
    /signature is wrong/,
  );
  const file = join(world.dataDir, "audit", "audit-0000000000000001.000.jsonl");
  const lines = readFileSync(file, "latin1").split("\n");
  writeFileSync(file, `${lines.slice(0, seq - 1).join("\n")}\n`, "latin1");
  const cut = await verify(world, { checkpoints: text });
  assert.equal(cut.ok, false);
  const place = `${file}:${seq}: .*ends at record ${seq - 1}, but a checkpoint signed record ${seq}`;
  assert.match(cut.broken[0] ?? "", new RegExp(place));
  rmSync(join(world.dataDir, "state.db"));
  const bare = await verify(world);
  assert.equal(bare.ok, true);
  assert.deepEqual([bare.chains[0]?.proven, bare.sources], [0, []]);
});

/** What is done to the lines of a log, the number of the line that is named, and why. */
const TAMPERED: Readonly<
  Record<string, (lines: readonly string[]) => readonly [string, number, RegExp]>
> = {
  edited: (lines) => [
    lines.with(4, (lines[4] ?? "").replace('"outcome":"ok"', '"outcome":"no"')).join("\n"),
    5,
    /edited/,
  ],
  dropped: (lines) => [lines.toSpliced(4, 1).join("\n"), 5, /records 5 to 5/],
  reordered: (lines) => [
    lines
      .with(4, lines[5] ?? "")
      .with(5, lines[4] ?? "")
      .join("\n"),
    5,
    /records 5 to 5/,
  ],
  // The checkpoint of the stop tells of the lines that are gone.
  truncated: (lines) => [
    `${lines.slice(0, 5).join("\n")}\n`,
    6,
    /ends at record 5, but a checkpoint/,
  ],
  "cut within a line": (lines) => [lines.slice(0, 6).join("\n").slice(0, -20), 6, /partial line/],
};

test("refusal 65: a line edited, dropped, moved or cut off is named", async (context) => {
  const world = await worldOf(context);
  await putSome(world, 8);
  await world.stop();
  const file = join(world.dataDir, "audit", "audit-0000000000000001.000.jsonl");
  const lines = readFileSync(file, "latin1").split("\n");
  assert.equal((await verify(world)).ok, true);
  for (const [what, change] of Object.entries(TAMPERED)) {
    const [text, line, reason] = change(lines);
    assert.notEqual(text, lines.join("\n"), what);
    writeFileSync(file, text, "latin1");
    const { ok, broken } = await verify(world);
    assert.equal(ok, false, what);
    assert.ok(broken[0]?.includes(`${file}:${line}: `), `${what}: ${broken.join("\n")}`);
    assert.match(broken[0] ?? "", reason, what);
  }
});

test("refusal 51: an audit log put back to yesterday is refused, and moved away it goes on", async (context) => {
  const world = await worldOf(context);
  const audit = join(world.dataDir, "audit");
  const kept = join(world.folder, "yesterday");
  await putSome(world, 2);
  await world.restart(() => cpSync(audit, kept, { recursive: true }));
  await putSome(world, 3);
  await world.stop();
  const newest = join(world.folder, "newest");
  renameSync(audit, newest);
  cpSync(kept, audit, { recursive: true });
  assert.match(
    await refusal(world),
    /ends at record \d+, and record \d+ was signed.*move the folder/,
  );
  // It stays so, though each refusal is a record that makes the log longer.
  for (let i = 0; i < 12; i++) await refusal(world);
  assert.match(await refusal(world), /its record \d+ is another one/);
  await world.restart(() => renameSync(audit, join(world.folder, "evidence")));
  const records = auditRecords(world.dataDir);
  const [first] = records;
  assert.deepEqual([first?.action, first?.outcome], ["audit-resume", "failed"]);
  assert.ok((first?.seq ?? 0) > 5);
  await putSome(world, 1);
  await world.stop();
  const verdict = await verify(world);
  assert.deepEqual([verdict.ok, verdict.broken], [true, []]);
  assert.ok((verdict.chains[0]?.first ?? 0) > 1);
  // And it does not invent records of all that the log of the cluster holds.
  assert.deepEqual(
    auditRecords(world.dataDir).filter(({ reason }) => reason.includes("recovered")),
    [],
  );
});

/** A world whose audit log, once told, takes the events of `isLost` and never writes them: as a kill does. */
async function losingWorld(
  context: TestContext,
  isLost: (event: AuditEvent) => boolean,
): Promise<{ readonly world: World; lose: (work: () => unknown) => Promise<void> }> {
  let losing = false;
  let tellLost: () => void = () => undefined;
  const world = await worldOf(context, {
    openAudit: async (options) => {
      const audit = await openAudit(options);
      const append: typeof audit.append = (event) => {
        if (!losing || !isLost(event)) return audit.append(event);
        tellLost();
        return new Promise(() => undefined);
      };
      return new Proxy(audit, {
        get: (of, name) => {
          const value: unknown = name === "append" ? append : Reflect.get(of, name, of);
          return typeof value === "function" ? value.bind(of) : value;
        },
      });
    },
  });
  const lose = async (work: () => unknown): Promise<void> => {
    losing = true;
    const lost = new Promise<void>((resolve) => (tellLost = resolve));
    work();
    await lost;
    losing = false;
    // What is on the disk while the member runs is what a kill leaves.
    const killed = join(world.folder, "killed");
    cpSync(world.dataDir, killed, { recursive: true });
    await world.restart(() => {
      rmSync(world.dataDir, { recursive: true });
      cpSync(killed, world.dataDir, { recursive: true });
    });
  };
  return { world, lose };
}

const putBytes = (name: string): Uint8Array =>
  rpc.PutRequest.encode(rpc.PutRequest.fromPartial({ key: bytes(name) })).finish();

const putsOf = (world: World, of: string) =>
  auditRecords(world.dataDir).filter(({ action, key }) => action === "put" && key === of);

test("refusal 62: a write whose member was killed before its record has one after the start", async (context) => {
  const { world, lose } = await losingWorld(context, ({ action }) => action === "put");
  await putSome(world, 2);
  await lose(() =>
    world.admin.put({ key: bytes("/lost"), value: bytes("v") }).catch(() => undefined),
  );
  const found = putsOf(world, "/lost");
  assert.equal(found.length, 1);
  const [record] = found;
  assert.deepEqual(
    [record?.action, record?.outcome, record?.actor.subject],
    ["put", "ok", "user:admin"],
  );
  const { kvs } = await world.admin.range({ key: bytes("/lost") });
  assert.equal(record?.revision, Number(kvs[0]?.modRevision));
  assert.match(record.reason, /recovered from log entry \d+/);
  await world.restart();
  assert.equal(putsOf(world, "/lost").length, 1);
});

test("refusal 62: the record of one request does not stand for another that the client named alike", async (context) => {
  const { world, lose } = await losingWorld(context, ({ key }) => key === "/hidden");
  const { authority, endpoint } = world;
  const session = await rawSession(endpoint, authority.certificate);
  context.after(() => session.destroy());
  const metadata = {
    authorization: `Bearer ${await world.token("user:admin")}`,
    "x-request-id": "same",
  };
  const put = (name: string) => rawCall(session, "/etcdserverpb.KV/Put", putBytes(name), metadata);
  await put("/shown");
  await lose(() => void put("/hidden"));
  const [shown] = putsOf(world, "/shown");
  const [hidden] = putsOf(world, "/hidden");
  assert.deepEqual([shown?.outcome, hidden?.outcome], ["ok", "ok"]);
  assert.match(hidden?.reason ?? "", /recovered from log entry \d+/);
  // Its own revision, and not that of the one before it.
  assert.equal(hidden?.revision, (shown?.revision ?? 0) + 1);
  // And whoever asks by the client's name finds both.
  const { lines } = await world.admin.auditSearch({ requestId: "same" });
  assert.equal(lines.length, 2);
});

test("old files go when checkpoints have them, and the rest verifies for operators and tenants", async (context) => {
  const world = await worldOf(context, {
    openAudit: (options) => openAudit({ ...options, fileBytesMax: 5000 }),
    config: () => ({ auditRetentionBytes: 15_000 }),
  });
  const first = join(world.dataDir, "audit", "audit-0000000000000001.000.jsonl");
  await putSome(world, 40);
  assert.ok(existsSync(first));
  await world.restart();
  const isRemoved = (): boolean =>
    auditRecords(world.dataDir).some((r) => r.action === "audit-remove");
  while (!isRemoved() || existsSync(first)) await new Promise((done) => setTimeout(done, 10));
  await putSome(world, 2);
  const begin = (await checkpoints(world)).list.filter((one) => one.checkpoint === "begin");
  assert.equal(begin.length, 1);
  assert.equal((await checkpoints(world, "default")).list[0]?.checkpoint, "head");
  assert.ok((await checkpoints(world, "default")).list.some((one) => one.checkpoint === "begin"));
  await world.stop();
  const verdict = await verify(world);
  assert.deepEqual([verdict.ok, verdict.broken], [true, []]);
  assert.ok((verdict.chains[0]?.first ?? 0) > 1);
});

test("a start warns of a sink that sends records in the clear to another machine", async (context) => {
  const port = 9;
  const sinkOf = (name: string, isExposed: boolean) =>
    ({ kind: "udp", name, host: "127.0.0.1", port, isExposed }) as const;
  const auditSink = [sinkOf("syslog+udp://far:9", true), sinkOf("syslog+udp://near:9", false)];
  const world = await worldOf(context, { config: () => ({ auditSink }) });
  const warned = world.logs
    .filter((line) => line.includes("sends records unencrypted to another machine"))
    .map((line) => JSON.parse(line) as { readonly sink: string; readonly level: unknown });
  assert.deepEqual(
    warned.map(({ sink }) => sink),
    ["syslog+udp://far:9"],
  );
});

test("the checkpoints of a chain are few, however many were made", async (context) => {
  const world = await worldOf(context);
  for (let i = 0; i < 20; i++) {
    await putSome(world, 1);
    await world.restart();
  }
  assert.equal((await checkpoints(world)).list.length, 16);
  assert.equal((await checkpoints(world, "default")).list.length, 8);
});

test("what is no file is not read as an export of the log", async (context) => {
  const world = await worldOf(context);
  const order = { dataDir: undefined, checkpoints: undefined, keyId: undefined };
  const told = async (file: string): Promise<string> => {
    const failed: unknown = await verifyTrails({ ...order, file }).catch((error: unknown) => error);
    assert.ok(failed instanceof CofferError);
    return `${failed.code} ${failed.message}`;
  };
  assert.match(await told(world.dataDir), /^invalid-argument .* folder; .*--data-dir$/);
  assert.match(await told(join(world.dataDir, "none.jsonl")), /^not-found .*there is no file/);
});

test("refusal 65: verify of several members does not pass over one whose audit folder is gone", async (context) => {
  const parent = mkdtempSync(join(tmpdir(), "coffer-verify-members-"));
  context.after(() => rmSync(parent, { recursive: true, force: true }));
  const [whole, bare] = [join(parent, "m1"), join(parent, "m2")];
  for (const member of [whole, bare]) mkdirSync(join(member, "audit"), { recursive: true });
  const order = { dataDir: parent, file: undefined, checkpoints: undefined, keyId: undefined };
  assert.equal((await verifyTrails(order)).ok, true);
  rmSync(join(bare, "audit"), { recursive: true });
  // What holds no member's data is not looked at.
  assert.equal((await verifyTrails(order)).ok, true);
  writeFileSync(join(bare, "raft.db"), "");
  const { ok, broken } = await verifyTrails(order);
  assert.equal(ok, false);
  assert.deepEqual(broken, [`${bare}: there is no audit folder beside the member's data`]);
});
