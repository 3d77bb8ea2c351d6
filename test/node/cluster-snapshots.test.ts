import assert from "node:assert/strict";
import { test } from "node:test";
import type { WatchResponse } from "../../src/core/types/mod.ts";
import { decodeForward, decodeMessages } from "../../src/wire/mod.ts";
import { TENANT, put } from "../fsm/fixtures.ts";
import { ELECTION_MS, type FakeCluster, type FakeMember, startCluster } from "./fake-cluster.ts";
import { noSpace } from "./fake-disk.ts";

/** Members so far behind that the log does not reach back to them; and the log that is kept. */

/** More entries than the log keeps here behind the applied index. */
const MANY = 300;

async function writeMany(cluster: FakeCluster, at: FakeMember, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await cluster.put(at, `k${n % 10}`, `${n}`);
}

/** What members keep in memory of the log would spare them the snapshot: they start anew. */
async function forgetCaches(cluster: FakeCluster): Promise<void> {
  for (const member of cluster.members) if (member.isUp) cluster.restart(member);
  await cluster.elect();
}

test("a member that was away for long gets a snapshot, and goes on from there", async (context) => {
  const cluster = startCluster(context, { snapshotEntries: 50 });
  const leader = await cluster.prepare();
  const [away] = cluster.followers;
  assert.ok(away !== undefined);
  cluster.crash(away);
  await writeMany(cluster, leader, MANY);
  await cluster.time.run(2 * ELECTION_MS);
  for (const { disk, isUp } of cluster.members) {
    const isBehind: boolean = disk.log.firstIndex > away.disk.log.lastIndex;
    assert.equal(isBehind, isUp, "the log was not compacted");
  }
  await forgetCaches(cluster);
  cluster.start(away);
  const watch = away.node.openWatch(TENANT);
  watch.create({
    key: put("k0", "").key,
    rangeEnd: put("", "").key,
    startRevision: 0,
    progressNotify: false,
    noPut: false,
    noDelete: false,
    prevKv: false,
    watchId: 1,
    fragment: false,
  });
  let replaced = 0;
  away.node.onStateReplaced(() => (replaced += 1));
  await cluster.settle();
  assert.equal(replaced, 1);
  assert.deepEqual(cluster.keys(away), cluster.keys(leader));
  await cluster.put(away, "k0", "after");
  await cluster.settle();
  const seen: WatchResponse[] = [];
  const drain = (): boolean => {
    for (let one = watch.next(); one !== undefined; one = watch.next()) seen.push(one);
    return seen.at(-1)?.events.at(-1)?.kv.version === MANY / 10 + 1;
  };
  assert.ok(await cluster.time.until(drain, ELECTION_MS), "the watch has lost its way");
  const versions = seen.flatMap(({ events }) => events.map(({ kv }) => kv.version));
  const all = Array.from({ length: MANY / 10 + 1 }, (_, i) => i + 1);
  assert.deepEqual(versions, all, "events were lost, or told twice");
  // What came by the snapshot is there after a crash too.
  cluster.restart(away);
  await cluster.settle();
  assert.deepEqual(cluster.keys(away), cluster.keys(leader));
});

test("a write whose entry hides in a snapshot is not given out again", async (context) => {
  const cluster = startCluster(context, { snapshotEntries: 50 });
  const leader = await cluster.prepare();
  const [behind, other] = cluster.followers;
  assert.ok(behind !== undefined && other !== undefined);
  // The write gets through to the leader; nothing of consensus comes back for some time.
  cluster.hub.decide(({ to, channel, bytes }) => {
    if (to !== behind.name || channel !== "raft") return undefined;
    return decodeMessages(bytes).some(({ kind }) => kind === "append") ? "drop" : undefined;
  });
  const write = cluster.later(behind, "once");
  const isForwarded = (): boolean =>
    cluster.hub.sent.some(
      ({ from, channel, bytes }) =>
        from === behind.name && channel === "fwd" && decodeForward(bytes).kind === "propose",
    );
  assert.ok(await cluster.time.until(isForwarded, 100));
  await cluster.put(leader, "k");
  cluster.restart(other);
  await cluster.settleOf([leader, other]);
  other.disk.log.compact(other.disk.log.lastIndex);
  // A new leader's first entry shows that batches of the term before are applied or lost; and it has
  // nothing of the log that the one behind needs.
  await cluster.time.finish(leader.node.moveLeader(other.id));
  await cluster.settleOf([leader, other]);
  other.disk.log.compact(other.disk.log.lastIndex);
  cluster.hub.decide(() => undefined);
  let replaced = 0;
  behind.node.onStateReplaced(() => (replaced += 1));
  await cluster.settle();
  assert.equal(replaced, 1);
  assert.equal(write.ending, "waiting");
  await cluster.put(leader, "k");
  await cluster.settle();
  assert.equal(write.ending, "timeout");
  assert.equal(cluster.version(behind, "once"), 1);
});

test("the log is kept for a live member that lags, and not for one that is away", async (context) => {
  const cluster = startCluster(context, { snapshotEntries: 50 });
  const leader = await cluster.prepare();
  const [slow] = cluster.followers;
  assert.ok(slow !== undefined);
  // It lives, and takes nothing in: its disk is full.
  slow.disk.saveFails = noSpace();
  const match = slow.node.status().raftIndex;
  await writeMany(cluster, leader, MANY);
  await cluster.time.run(2 * ELECTION_MS);
  assert.ok(leader.disk.log.firstIndex <= match + 1, "what it needs is gone");
  slow.disk.saveFails = undefined;
  await cluster.settle();
  await cluster.time.run(2 * ELECTION_MS);
  await cluster.put(leader, "k");
  await cluster.time.run(ELECTION_MS);
  assert.ok(leader.disk.log.firstIndex > match + 1, "the log grows for ever");
  assert.equal(slow.compactions.length > 0, true);
});

test("all members die and start again from their disks", async (context) => {
  const cluster = startCluster(context, { snapshotEntries: 50 });
  const leader = await cluster.prepare();
  await writeMany(cluster, leader, 30);
  const before = cluster.keys(leader);
  for (const member of cluster.members) cluster.crash(member);
  for (const member of cluster.members) cluster.start(member);
  await cluster.elect();
  await cluster.settle();
  for (const member of cluster.members) assert.deepEqual(cluster.keys(member), before);
  assert.equal((await cluster.put(leader, "k")).kind, "put");
});
