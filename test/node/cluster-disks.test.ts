import assert from "node:assert/strict";
import { test } from "node:test";
import { ACTOR } from "../fsm/fixtures.ts";
import {
  ELECTION_MS,
  HEARTBEAT_MS,
  REQUEST_TIMEOUT_MS,
  ending,
  startCluster,
} from "./fake-cluster.ts";
import { noSpace } from "./fake-disk.ts";

/** A full disk of one member, or of all: the cluster goes on with what it has. */

test("a leader whose disk is full hands over to one whose disk is not, and recovers", async (context) => {
  const cluster = startCluster(context);
  const full = await cluster.prepare();
  full.disk.saveFails = noSpace();
  const held = cluster.later(full, "a");
  const since = cluster.time.now;
  assert.ok(
    await cluster.time.until(() => cluster.leader !== undefined && cluster.leader !== full),
  );
  assert.ok(cluster.time.now - since < ELECTION_MS, "it took an election timeout");
  const [other] = cluster.followers.filter((one) => one !== full);
  assert.ok(other !== undefined);
  assert.equal((await cluster.put(other, "b")).kind, "put");
  assert.equal(full.node.status().blocked, "no-space");
  assert.equal(await cluster.time.finish(ending(cluster.put(full, "c"))), "no-space");
  full.disk.saveFails = undefined;
  await cluster.settle();
  assert.equal(held.ending, "put");
  assert.equal(full.node.status().blocked, undefined);
  assert.equal((await cluster.put(full, "d")).kind, "put");
  for (const member of cluster.members) {
    await cluster.settle();
    const keys = cluster.keys(member).map(([key]) => key);
    assert.deepEqual(keys, ["a", "b", "d"]);
  }
});

test("a follower whose disk is full neither acknowledges nor dies, and recovers", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [full, dead] = cluster.followers;
  assert.ok(full !== undefined && dead !== undefined);
  full.disk.saveFails = noSpace();
  assert.equal((await cluster.put(leader, "a")).kind, "put");
  const term = leader.node.status().term;
  await cluster.time.run(3 * ELECTION_MS);
  assert.equal(leader.node.status().term, term, "it has disturbed the cluster");
  // Now its acknowledgement would be needed.
  cluster.crash(dead);
  const write = cluster.later(leader, "b");
  await cluster.time.run(3 * ELECTION_MS);
  assert.equal(write.ending, "waiting", "acknowledged without a save");
  assert.equal(leader.node.status().role, "leader", "its heartbeats went unanswered");
  assert.equal(await cluster.time.finish(ending(leader.node.readIndex())), "done");
  assert.equal(await cluster.time.finish(ending(full.node.readIndex())), "no-space");
  full.disk.saveFails = undefined;
  await cluster.time.run(2 * HEARTBEAT_MS);
  assert.ok(await cluster.time.until(() => write.ending === "put", ELECTION_MS));
  assert.equal(await cluster.time.finish(ending(full.node.readIndex())), "done");
});

test("all disks are full: writes are refused, reads go on, and it is over without a restart", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  await cluster.put(leader, "a", "v");
  for (const { disk } of cluster.members) disk.saveFails = noSpace();
  const held = cluster.later(leader, "b");
  await cluster.time.run(5 * ELECTION_MS);
  assert.equal(cluster.leader, leader, "leadership was given to a disk that is full too");
  for (const member of cluster.members) {
    assert.equal(await cluster.time.finish(ending(cluster.put(member, "c"))), "no-space");
  }
  assert.equal(await cluster.time.finish(ending(leader.node.readIndex())), "done");
  assert.equal(held.ending, "waiting");
  for (const { disk } of cluster.members) disk.saveFails = undefined;
  assert.ok(await cluster.time.until(() => held.ending === "put", REQUEST_TIMEOUT_MS));
  assert.equal((await cluster.put(leader, "d")).kind, "put");
});

test("a leader whose state takes no more goes on, and answers what it held up", async (context) => {
  const cluster = startCluster(context);
  const full = await cluster.prepare();
  full.disk.applyFails = noSpace();
  const held = cluster.later(full, "a");
  await cluster.time.run(3 * ELECTION_MS);
  assert.equal(full.node.status().blocked, "no-space");
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  full.disk.applyFails = undefined;
  await cluster.settle();
  assert.equal(held.ending, "put");
  assert.equal((await cluster.put(other, "b")).kind, "put");
  assert.equal(cluster.version(full, "a"), 1);
});

test("a leader that is alone by a change which its full disk holds up serves no stale read", async (context) => {
  const cluster = startCluster(context, { members: 2 });
  const leader = await cluster.prepare();
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  leader.disk.applyFails = noSpace();
  const removal = ending(leader.node.changeMembers({ kind: "remove", id: other.id }, ACTOR));
  const write = cluster.later(leader, "a");
  // One answers who has applied it: for the one that is removed it is true already.
  assert.ok(await cluster.time.until(() => cluster.version(other, "a") === 1));
  assert.equal(cluster.version(leader, "a"), 0);
  assert.equal(await cluster.time.finish(ending(leader.node.readIndex())), "no-space");
  leader.disk.applyFails = undefined;
  assert.ok(await cluster.time.until(() => write.ending === "put"));
  assert.equal(await removal, "done");
  assert.equal(await ending(leader.node.readIndex()), "at once");
  assert.equal(cluster.version(leader, "a"), 1);
});

test("nor one that has applied that change, and is held up by what the removed one had of it", async (context) => {
  const cluster = startCluster(context, { members: 2 });
  const leader = await cluster.prepare();
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  await cluster.time.run(2000);
  const isInForce = (): boolean => leader.node.state.isRemovedMember(other.id);
  let room: "none" | "for the change" | "enough" = "none";
  Object.defineProperty(leader.disk, "applyFails", {
    get: () =>
      room === "enough" || (room === "for the change" && !isInForce()) ? undefined : noSpace(),
  });
  // Three entries are on their way before the first is applied.
  const first = cluster.later(leader, "a");
  await cluster.time.run(1);
  const removal = ending(leader.node.changeMembers({ kind: "remove", id: other.id }, ACTOR));
  const write = cluster.later(other, "b");
  await cluster.time.run(4);
  // The other hears of both commits at once: it answers the write before it knows its own end.
  cluster.pause(other);
  await cluster.time.run(4);
  cluster.resume(other);
  room = "for the change";
  await cluster.time.run(HEARTBEAT_MS + 50);
  assert.equal(write.ending, "put");
  assert.ok(isInForce());
  assert.equal(cluster.version(leader, "b"), 0);
  assert.equal(await cluster.time.finish(ending(leader.node.readIndex())), "no-space");
  room = "enough";
  assert.ok(await cluster.time.until(() => first.ending === "put"));
  assert.equal(await cluster.time.finish(removal), "done");
  assert.equal(cluster.version(leader, "b"), 1);
});
