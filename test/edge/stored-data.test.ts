import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import * as https from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { rpc } from "../../src/proto/mod.ts";
import { createRootKeyFile } from "../../src/seal/mod.ts";
import { verifyFolder } from "../../src/audit/mod.ts";
import { readFilesBelow } from "../setup/files-below.ts";
import { startTwoTenants } from "./two-tenants.ts";
import { type World, bytes, failure } from "./world.ts";

/** Refusals 51, 52 and 55: what one can do who reads the disk, or puts older files there. */

let world: World;

before(async () => {
  world = await startTwoTenants();
});

after(() => world[Symbol.asyncDispose]());

function file(name: string): string {
  return join(world.dataDir, name);
}

function keep(name: string): void {
  cpSync(world.dataDir, join(world.folder, name), { recursive: true });
}

/** Puts files of the data folder back as they were kept. */
function putBack(name: string, ...files: readonly string[]): void {
  for (const one of files) {
    for (const path of [one, `${one}-wal`, `${one}-shm`])
      rmSync(file(path), { recursive: true, force: true });
    cpSync(join(world.folder, name, one), file(one), { recursive: true });
  }
}

async function valueOf(key: string): Promise<string> {
  const { kvs } = await world.admin.range({ key: bytes(key) });
  return Buffer.from(kvs[0]?.value ?? []).toString();
}

/** Puts new values, and a policy row, after the files were kept as `name`. */
async function liveOn(name: string): Promise<void> {
  await world.restart(() => keep(name));
  await world.admin.put({ key: bytes("/a"), value: bytes(`newer than ${name}`) });
}

/** That the stopped member does not start, says why, records it, and does start with `whole`. */
async function assertNoStart(reason: RegExp, mend: () => void): Promise<void> {
  const error = await failure(world.restart(), "corrupt");
  assert.match(error.message, reason);
  assert.deepEqual(world.fatals, []);
  const { action, outcome } = world.audit().at(-1) ?? {};
  assert.deepEqual([action, outcome], ["start", "refused"]);
  mend();
  await world.restart();
}

test("refusal 51: an older state.db recovers by replay", async () => {
  await liveOn("day1");
  await world.restart(() => putBack("day1", "state.db"));
  assert.equal(await valueOf("/a"), "newer than day1");
  await world.restart(() => {
    for (const end of ["", "-wal", "-shm"]) rmSync(file(`state.db${end}`), { force: true });
  });
  assert.equal(await valueOf("/a"), "newer than day1");
});

test("refusal 51: an older raft.db is refused, and so is none", async () => {
  await liveOn("day2");
  await world.stop();
  keep("newest");
  putBack("day2", "raft.db");
  const mend = (): void => putBack("newest", "raft.db", "state.db", "audit");
  await assertNoStart(/files of different times.*put the newest of both back/, mend);
  await world.stop();
  keep("newest2");
  rmSync(file("raft.db"));
  await assertNoStart(/files of different times/, () => putBack("newest2", "raft.db", "audit"));
  assert.equal(await valueOf("/a"), "newer than day2");
});

test("refusal 51: older raft.db and state.db together are refused by what the audit log knows", async () => {
  await liveOn("day3");
  await world.stop();
  keep("whole3");
  putBack("day3", "raft.db", "state.db");
  const mend = (): void => putBack("whole3", "raft.db", "state.db");
  await assertNoStart(/older than what this member has acknowledged.*log entry \d+, raft/, mend);
  assert.equal(await valueOf("/a"), "newer than day3");
  assert.equal((await verifyFolder(file("audit"))).ok, true);
});

/** So that the revisions in the records must tell: nobody verifies the chain at a start. */
function removeMarks(dataDir: string): void {
  const folder = join(dataDir, "audit");
  for (const name of readdirSync(folder).filter((one) => one.endsWith(".jsonl"))) {
    const lines = readFileSync(join(folder, name), "latin1").split("\n");
    const kept = lines.filter((line) => !line.includes('"action":"log-mark"'));
    writeFileSync(join(folder, name), kept.join("\n"), "latin1");
  }
}

test("refusal 51: likewise when the process was killed before it wrote a mark", async () => {
  await liveOn("day4");
  const killed = join(world.folder, "killed");
  // What is on the disk while the member runs is what a kill leaves.
  await waitForAudit();
  cpSync(world.dataDir, killed, { recursive: true });
  removeMarks(killed);
  await world.stop();
  const fromKilled = (): void => {
    rmSync(world.dataDir, { recursive: true });
    cpSync(killed, world.dataDir, { recursive: true });
  };
  fromKilled();
  putBack("day4", "raft.db", "state.db");
  await assertNoStart(/tenant [0-9a-f-]+ was at revision \d+ and is at \d+/, fromKilled);
  assert.equal(await valueOf("/a"), "newer than day4");
});

test("refusal 51: a policy that was taken back is not undone by an older database", async () => {
  const row = ["p", "user:gone", "*", "*", "allow"];
  await world.grant(row);
  await world.restart(() => keep("day5"));
  await world.revoke(row);
  await waitForAudit();
  const killed = join(world.folder, "killed5");
  cpSync(world.dataDir, killed, { recursive: true });
  removeMarks(killed);
  await world.stop();
  rmSync(world.dataDir, { recursive: true });
  cpSync(killed, world.dataDir, { recursive: true });
  putBack("day5", "raft.db", "state.db");
  await assertNoStart(/the policy of .* was at revision/, () => {
    rmSync(world.dataDir, { recursive: true });
    cpSync(killed, world.dataDir, { recursive: true });
  });
});

test("refusal 51: databases that were removed are not begun anew under an audit log", async () => {
  await world.stop();
  keep("whole6");
  for (const name of ["raft.db", "state.db"]) {
    for (const end of ["", "-wal", "-shm"]) rmSync(file(`${name}${end}`), { force: true });
  }
  const mend = (): void => putBack("whole6", "raft.db", "state.db");
  await assertNoStart(/older than what this member has acknowledged/, mend);
});

test("refusal 51: a tenant that is gone: deleted it starts, unmade it does not", async () => {
  await world.restart(() => keep("day7"));
  await world.admin.tenantCreate({ name: "short", owner: "user:short" });
  const short = await world.as("user:short", { tenants: ["short"] });
  await short.put({ key: bytes("/a") });
  const killed = join(world.folder, "killed7");
  cpSync(world.dataDir, killed, { recursive: true });
  removeMarks(killed);
  await world.stop();
  const fromKilled = (): void => {
    rmSync(world.dataDir, { recursive: true });
    cpSync(killed, world.dataDir, { recursive: true });
  };
  fromKilled();
  putBack("day7", "raft.db", "state.db");
  await assertNoStart(/older than what this member has acknowledged: tenant/, fromKilled);
  await world.admin.tenantDelete({ name: "short" });
  const ended = join(world.folder, "ended7");
  cpSync(world.dataDir, ended, { recursive: true });
  await world.restart(() => {
    rmSync(world.dataDir, { recursive: true });
    cpSync(ended, world.dataDir, { recursive: true });
  });
  await failure(world.admin.tenantShow({ name: "short" }), "not-found");
});

/** A record of another request is in the file, so all before it are. */
async function waitForAudit(): Promise<void> {
  await world.admin.range({ key: bytes("/a") });
}

test("refusal 52: a wrong root key, or none, with data", async () => {
  const kept = join(world.folder, "kept.key");
  await world.stop();
  renameSync(world.rootKeyFile, kept);
  const missing = await failure(world.restart(), "sealed");
  assert.match(missing.message, /root\.key/);
  assert.ok(!existsSync(world.rootKeyFile), "a new root key was made");
  // With state.db gone there still is data.
  await failure(
    world.restart(() => rmSync(file("state.db"))),
    "sealed",
  );
  assert.ok(!existsSync(world.rootKeyFile), "a new root key was made");
  createRootKeyFile(world.rootKeyFile);
  const wrong = await failure(world.restart(), "sealed");
  assert.match(wrong.message, /key-file:[0-9a-f]{16}, but .* key-file:[0-9a-f]{16}/);
  rmSync(world.rootKeyFile);
  renameSync(kept, world.rootKeyFile);
  await world.restart();
  assert.notEqual(await valueOf("/a"), "");
  assert.deepEqual(world.fatals, []);
});

test("refusal 55: known plaintexts are nowhere on the disk, in logs, metrics or errors", async () => {
  const secrets = ["put", "txn", "lease", "old", "operand", "refused", "long"].map(
    (name) => `plaintext-${name}-4fd1c0a9e7`,
  );
  const [put, txn, lease, old, operand, refused, long] = secrets.map((text) => Buffer.from(text));
  assert.ok(put && txn && lease && old && operand && refused && long);
  const errors: string[] = [];
  const { admin } = world;
  const key = bytes("/secret");
  await admin.put({ key, value: old });
  await admin.put({ key, value: put, prevKv: true });
  const { ID } = await admin.leaseGrant({ TTL: 600n });
  await admin.put({ key: bytes("/leased"), value: lease, lease: ID });
  const target = rpc.Compare_CompareTarget.VALUE;
  await admin.txn({
    compare: [{ key, target, targetUnion: { $case: "value", value: operand } }],
    failure: [{ request: { $case: "requestPut", value: { key: bytes("/t"), value: txn } } }],
  });
  await admin.put({ key: bytes("/long"), value: Buffer.alloc(100_000, long) });
  const token = await world.token("user:nobody");
  const nobody = world.connect({ token });
  for (const call of [
    () => nobody.put({ key, value: refused }),
    () => admin.put({ key, value: refused, ignoreValue: true }),
    () => admin.put({ key, value: Buffer.alloc(2_000_000, refused) }),
    () => admin.put({ key, value: refused, lease: 12345n }),
    () => world.connect({ token: `${token}x` }).put({ key, value: refused }),
  ]) {
    const error = await call().then(
      () => assert.fail("it was allowed"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof CofferError);
    errors.push(`${error.message} ${String(error.stack)}`);
  }
  assert.deepEqual(Buffer.from((await admin.range({ key })).kvs[0]?.value ?? []), put);
  const metrics = await getText("/metrics");
  assert.match(metrics, /etcd_server_has_leader/);
  const running = [...readFilesBelow(world.dataDir)];
  assert.ok(running.some(({ path, content }) => path.endsWith("-wal") && content.length > 0));
  await world.restart();
  await readAll(world);
  await world.stop();
  const told = [metrics, ...errors, ...world.logs].join("\n");
  const found: string[] = [];
  for (const { path, content } of [
    ...running,
    ...readFilesBelow(world.dataDir),
    { path: "what was told", content: Buffer.from(told) },
  ]) {
    for (const secret of [...secrets, token.split(".")[2] ?? ""]) {
      for (const form of formsOf(secret))
        if (content.includes(form)) found.push(`${path}: ${secret}`);
    }
  }
  assert.deepEqual(found, []);
  await world.restart();
});

/** Reads that bring opened values close to logs and caches. */
async function readAll({ admin }: World): Promise<void> {
  await admin.range({ key: bytes("\0"), rangeEnd: bytes("\0") });
  await admin.history({ key: bytes("/secret"), values: true });
}

/** As it is, and as a dump or a JSON text would have it. */
function formsOf(secret: string): readonly Buffer[] {
  const raw = Buffer.from(secret);
  // Base64 of a part: its letters depend on where in a larger text it begins.
  const base64 = [0, 1, 2].map((at) => raw.subarray(at, at + 18).toString("base64"));
  return [raw, ...[raw.toString("hex"), ...base64].map((text) => Buffer.from(text))];
}

function getText(path: string): Promise<string> {
  const { port, authority } = world;
  const options = { host: "127.0.0.1", port, path, ca: authority.certificate };
  return new Promise((resolve, reject) => {
    https
      .get(options, (reply) => {
        let text = "";
        reply.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        reply.on("end", () => resolve(text));
      })
      .on("error", reject);
  });
}
