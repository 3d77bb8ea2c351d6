import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { TENANT, put, range } from "../fsm/fixtures.ts";
import {
  CONF,
  carry,
  newFolder,
  openFiles,
  openMember,
  refusal,
  sha256Of,
  transfer,
} from "./snapshot-stand.ts";

test("a copy is of one moment, whatever is written meanwhile", async (context) => {
  const leader = openMember(context);
  // Several steps of the copy, so that it would never end if it began again after each write.
  leader.fill(300, 60_000);
  const digest = leader.digest();
  const { appliedIndex } = leader.machine.fsm;
  const made = leader.snapshots.create(appliedIndex);
  let isMade = false;
  const copied = made.finally(() => (isMade = true));
  let written = 0;
  while (!isMade) {
    leader.fill(1);
    written += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const out = await copied;
  assert.ok(written > 0, "nothing was written meanwhile");
  // What was written before the thread took its read mark is in it too.
  assert.ok(out.meta.index >= appliedIndex && out.meta.index <= appliedIndex + written);
  assert.equal(out.meta.term, 1);
  assert.deepEqual(out.meta.confState, CONF);
  const follower = openMember(context);
  const into = await follower.snapshots.receive(out);
  await carry(out, into);
  await into.finish();
  follower.snapshots.install(out.meta);
  follower.machine.fsm.reload();
  assert.equal(follower.machine.fsm.appliedIndex, out.meta.index);
  const revision = (follower.machine.fsm.reader.tenant(TENANT)?.revision ?? 0) as number;
  const hash = (member: typeof leader): unknown => member.machine.fsm.chainAt(TENANT, revision)?.at;
  assert.deepEqual(hash(follower), hash(leader));
  const count = follower.machine.fsm.reader.range(TENANT, range("k", "l", { countOnly: true }));
  assert.equal(count.ok && count.value.count, out.meta.index - 1);
  if (out.meta.index === appliedIndex) assert.equal(follower.digest(), digest);
});

test("a copy holds what was applied and not committed, is for its owner alone and one file", async (context) => {
  const leader = openMember(context);
  leader.fill(10);
  leader.machine.run({ kind: "put", request: put("not", "flushed") });
  const index = leader.machine.fsm.appliedIndex;
  const out = await leader.snapshots.create(index);
  assert.equal(out.meta.index, index);
  assert.deepEqual(leader.files(), ["outgoing-1.db"]);
  const path = join(leader.dataDir, "snapshots", "outgoing-1.db");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(leader.dataDir, "snapshots")).mode & 0o777, 0o700);
  assert.equal(out.bytes, statSync(path).size);
  assert.deepEqual(Buffer.from(out.sha256), sha256Of(path));
  assert.deepEqual(await out.read(100, 50), new Uint8Array(readFileSync(path).subarray(100, 150)));
});

test("members share a copy while it is new enough, and an older one goes with its last reader", async (context) => {
  const leader = openMember(context);
  leader.fill(10);
  const index = leader.machine.fsm.appliedIndex;
  const [first, second] = await Promise.all([
    leader.snapshots.create(index),
    leader.snapshots.create(index),
  ]);
  leader.fill(1);
  const third = await leader.snapshots.create(index);
  assert.deepEqual([first.sha256, first.sha256], [second.sha256, third.sha256]);
  assert.deepEqual(leader.files(), ["outgoing-1.db"]);
  const newer = await leader.snapshots.create(index + 1);
  assert.equal(newer.meta.index, index + 1);
  assert.deepEqual(leader.files(), ["outgoing-1.db", "outgoing-2.db"]);
  first.release();
  first.release();
  second.release();
  assert.equal((await third.read(0, 16)).length, 16);
  third.release();
  assert.deepEqual(leader.files(), ["outgoing-2.db"]);
  await refusal(third.read(0, 16), "stopped");
});

test("a copy that nobody reads is kept for a while, for who comes back", async (context) => {
  const leader = openMember(context);
  const index = leader.machine.fsm.appliedIndex;
  const out = await leader.snapshots.create(index);
  out.release();
  leader.scheduler.pass(9 * 60_000);
  const again = await leader.snapshots.create(index);
  leader.scheduler.pass(9 * 60_000);
  assert.deepEqual(leader.files(), ["outgoing-1.db"]);
  again.release();
  leader.scheduler.pass(11 * 60_000);
  assert.deepEqual(leader.files(), []);
});

test("a copy that does not fit is refused and leaves nothing", async (context) => {
  const leader = openMember(context, {
    volume: () => Promise.resolve({ free: 2 ** 26, total: 2 ** 40 }),
  });
  const failure = await refusal(leader.snapshots.create(1), "no-space");
  assert.match(failure.message, /a snapshot needs 65 MiB on the volume of .*, 64 MiB are free/);
  assert.deepEqual(leader.files(), []);
});

test("a small volume is not kept free for more than it can hold", async (context) => {
  const volume = (): Promise<{ free: number; total: number }> =>
    Promise.resolve({ free: 2 ** 23, total: 2 ** 25 });
  const leader = openMember(context, { volume });
  assert.equal((await leader.snapshots.create(1)).meta.index, 1);
});

test("a state without the members' configuration cannot be sent", async (context) => {
  const leader = openMember(context, { confState: undefined });
  const failure = await refusal(leader.snapshots.create(1), "storage-failed");
  assert.match(failure.message, /no configuration of the members/);
  assert.deepEqual(leader.files(), []);
});

test("a commit that fails is told to who asked for the copy", async (context) => {
  let isFull = true;
  const leader = openMember(context, {
    commit: () => {
      if (isFull) throw new CofferError("no-space");
    },
  });
  await refusal(leader.snapshots.create(1), "no-space");
  isFull = false;
  leader.machine.fsm.flush();
  const out = await leader.snapshots.create(1);
  assert.equal(out.meta.index, 1);
});

test("a copy of a damaged state is refused and leaves nothing", async (context) => {
  const leader = openMember(context);
  leader.fill(200, 500);
  leader.store.checkpoint();
  const state = join(leader.dataDir, "state.db");
  const bytes = readFileSync(state);
  bytes.fill(0xff, 0, 16);
  writeFileSync(state, bytes);
  writeFileSync(`${state}-wal`, "");
  const failure = await refusal(leader.snapshots.create(1), "corrupt");
  assert.match(failure.message, /damaged or not a database/);
  assert.deepEqual(leader.files(), []);
});

test("a close ends the copy under way and removes all copies", async (context) => {
  const leader = openMember(context);
  leader.fill(2000, 2000);
  (await leader.snapshots.create(1)).release();
  const under = leader.snapshots.create(leader.machine.fsm.appliedIndex + 1);
  leader.fill(1);
  await new Promise((resolve) => setImmediate(resolve));
  leader.snapshots.close();
  await refusal(under, "stopped");
  assert.deepEqual(leader.files(), []);
  await refusal(leader.snapshots.create(1), "stopped");
});

test("what an earlier life left is removed at the open, but for what it was receiving", async (context) => {
  const dataDir = newFolder(context);
  const folder = join(dataDir, "snapshots");
  mkdirSync(folder);
  const stale = ["outgoing-7.db", "outgoing-7.db-journal", "received-3-9.db", "incoming.db-wal"];
  for (const name of [...stale, "incoming.db", "incoming.json"]) {
    writeFileSync(join(folder, name), "x");
  }
  const member = openFiles({ dataDir });
  context.after(() => member.close());
  assert.deepEqual(member.files(), ["incoming.db", "incoming.json"]);
  member.scheduler.pass(11 * 60_000);
  assert.deepEqual(member.files(), []);
});

test("a snapshot is received and installed, and so again", async (context) => {
  const leader = openMember(context);
  const follower = openMember(context);
  for (const round of [1, 2]) {
    leader.fill(20);
    const { meta } = await transfer(leader, follower);
    follower.snapshots.install(meta);
    follower.machine.fsm.reload();
    assert.equal(follower.digest(), leader.digest(), `round ${round}`);
    assert.deepEqual(follower.files(), []);
  }
});
