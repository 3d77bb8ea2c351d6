import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS } from "../../src/core/raft/types.ts";
import type { ForwardMessage } from "../../src/wire/mod.ts";
import { decodeForward, decodeMessages } from "../../src/wire/mod.ts";
import {
  ELECTION_MS,
  type FakeCluster,
  type FakeMember,
  HEARTBEAT_MS,
  REQUEST_TIMEOUT_MS,
  ending,
  endingNow,
  startCluster,
} from "./fake-cluster.ts";
import type { Payload } from "./fake-hub.ts";

/**
 * A proposal is applied once, whoever leads meanwhile and whatever the network loses. Each key here is
 * written by one proposal, so its version tells how often that was applied.
 */

const isForward = ({ channel, bytes }: Payload, kind: ForwardMessage["kind"]): boolean =>
  channel === "fwd" && decodeForward(bytes).kind === kind;

const hasEntries = ({ channel, bytes }: Payload): boolean =>
  channel === "raft" &&
  decodeMessages(bytes).some(
    (message) => message.kind === "append" && message.entries.some(({ data }) => data.length > 0),
  );

function two(cluster: FakeCluster): readonly [FakeMember, FakeMember] {
  const [a, b] = cluster.followers;
  assert.ok(a !== undefined && b !== undefined);
  return [a, b];
}

async function check(cluster: FakeCluster, name: string, versions: number): Promise<void> {
  cluster.hub.decide(() => undefined);
  cluster.hub.heal();
  await cluster.elect();
  await cluster.settle();
  for (const member of cluster.members) {
    assert.equal(cluster.version(member, name), versions, `${name} at ${member.name}`);
  }
}

test("the leader dies with a forwarded batch that nobody else has: it is given out again", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower] = two(cluster);
  cluster.hub.decide((payload) =>
    payload.from === leader.name && hasEntries(payload) ? "drop" : undefined,
  );
  const before = leader.saves.length;
  const write = cluster.later(follower, "k");
  assert.ok(await cluster.time.until(() => leader.saves.length > before), "it was not appended");
  cluster.crash(leader);
  assert.ok(await cluster.time.until(() => write.ending !== "waiting", REQUEST_TIMEOUT_MS));
  assert.equal(write.ending, "put");
  cluster.start(leader);
  await check(cluster, "k", 1);
});

test("the leader dies with a forwarded batch that another has: it is not given out again", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower, other] = two(cluster);
  // The other follower gets it, and the leader never hears that it did: not committed, not lost.
  cluster.hub.decide((payload) => {
    const isCut = payload.from === leader.name && payload.to === follower.name;
    return (isCut && payload.channel === "raft") || payload.to === leader.name
      ? isForward(payload, "propose")
        ? undefined
        : "drop"
      : undefined;
  });
  const before = other.saves.length;
  const write = cluster.later(follower, "k");
  assert.ok(await cluster.time.until(() => other.saves.length > before, 500), "not replicated");
  cluster.crash(leader);
  cluster.hub.decide(() => undefined);
  assert.ok(await cluster.time.until(() => write.ending !== "waiting", REQUEST_TIMEOUT_MS));
  assert.equal(write.ending, "put");
  assert.equal(cluster.leader, other, "only the other can lead");
  cluster.start(leader);
  await check(cluster, "k", 1);
});

test("a leader is deposed with writes of its own: they are given to the next one, once", async (context) => {
  const cluster = startCluster(context);
  const old = await cluster.prepare();
  cluster.isolate(old);
  const writes = ["a", "b"].map((name) => cluster.later(old, name));
  await cluster.time.run(2 * HEARTBEAT_MS);
  assert.ok(await cluster.time.until(() => cluster.leader !== undefined && cluster.leader !== old));
  assert.ok(cluster.leader !== undefined);
  await cluster.put(cluster.leader, "c");
  cluster.hub.heal();
  assert.ok(await cluster.time.until(() => writes.every(({ ending }) => ending === "put"), 4000));
  for (const name of ["a", "b", "c"]) await check(cluster, name, 1);
});

test("a batch that is lost on its way is sent again, and taken once", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [follower] = two(cluster);
  let lost = 0;
  cluster.hub.decide((payload) =>
    isForward(payload, "propose") && lost++ === 0 ? "drop" : undefined,
  );
  const write = cluster.later(follower, "k");
  assert.ok(await cluster.time.until(() => write.ending === "put", 2 * ELECTION_MS));
  assert.equal(lost, 2);
  await check(cluster, "k", 1);
});

test("a batch that is sent again although it had arrived is taken once", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower, other] = two(cluster);
  // The leader cannot commit for a while, so the follower hears nothing.
  cluster.hub.decide((payload) =>
    payload.from === leader.name && hasEntries(payload) ? "drop" : undefined,
  );
  let sent = 0;
  const write = cluster.later(follower, "k");
  const isSentAgain = (): boolean => {
    sent = cluster.hub.sent.filter((payload) => isForward(payload, "propose")).length;
    return sent >= 4; // One of the preparation's for each follower.
  };
  assert.ok(await cluster.time.until(isSentAgain, 3 * ELECTION_MS), `sent ${sent} times`);
  cluster.hub.decide(() => undefined);
  assert.ok(await cluster.time.until(() => write.ending !== "waiting", REQUEST_TIMEOUT_MS));
  assert.equal(write.ending, "put");
  assert.notEqual(other.name, follower.name);
  await check(cluster, "k", 1);
});

test("a leader that is handing over refuses, and the next one takes it", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower, successor] = two(cluster);
  // The successor is told late, so that leadership is on its way for a while.
  const isTimeoutNow = ({ channel, bytes }: Payload): boolean =>
    channel === "raft" && decodeMessages(bytes).some(({ kind }) => kind === "timeout-now");
  cluster.hub.decide((payload) => (isTimeoutNow(payload) ? 300 : undefined));
  const moved = leader.node.moveLeader(successor.id);
  await cluster.time.run(10);
  const writes = [cluster.later(follower, "a"), cluster.later(leader, "b")];
  await cluster.time.run(50);
  assert.ok(cluster.hub.sent.some((payload) => isForward(payload, "propose-refused")));
  assert.equal(writes[0]?.ending, "waiting");
  await cluster.time.finish(moved);
  assert.ok(await cluster.time.until(() => writes.every(({ ending }) => ending === "put"), 1000));
  for (const name of ["a", "b"]) await check(cluster, name, 1);
});

test("a leader of another term than its sender believes in takes no batch", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower] = two(cluster);
  // The batch is under way while leadership moves away and comes back.
  cluster.hub.decide((payload) => (isForward(payload, "propose") ? 3000 : undefined));
  const write = cluster.later(follower, "k");
  await cluster.time.run(10);
  cluster.hub.decide(() => undefined);
  const [, other] = two(cluster);
  await cluster.time.finish(leader.node.moveLeader(other.id));
  await cluster.elect();
  await cluster.time.finish(other.node.moveLeader(leader.id));
  await cluster.elect();
  assert.ok(await cluster.time.until(() => write.ending !== "waiting", REQUEST_TIMEOUT_MS));
  assert.equal(write.ending, "put");
  await cluster.time.run(4000);
  await check(cluster, "k", 1);
});

test("a read that the leader has no room for is refused at once, with its fault", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [follower] = two(cluster);
  // The leader waits for its followers, and its own reads take every place there is.
  cluster.hub.decide(({ channel, to, bytes }) =>
    channel === "raft" && to === leader.name && !isRead(bytes) ? "drop" : undefined,
  );
  const endings: Promise<string>[] = [];
  for (let i = 0; i < DEFAULT_LIMITS.pendingReadsMax; i++) {
    endings.push(ending(leader.node.readIndex()));
    cluster.time.pass(0);
  }
  const read = ending(follower.node.readIndex());
  await cluster.time.run(5 * cluster.hub.latencyMs);
  assert.equal(await endingNow(read), "too-many-requests");
  cluster.hub.decide(() => undefined);
  const all = await cluster.time.finish(Promise.all(endings));
  assert.ok(all.every((end) => end === "done"));
  assert.equal(await cluster.time.finish(ending(follower.node.readIndex())), "done");
});

const isRead = (bytes: Uint8Array): boolean =>
  decodeMessages(bytes).some(({ kind }) => kind === "read-index");

test("without a quorum a write waits for its time, and is told what may be the reason", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = two(cluster);
  cluster.crash(a);
  cluster.crash(b);
  const early = cluster.later(leader, "a");
  await cluster.time.run(2 * ELECTION_MS);
  assert.equal(leader.node.status().leader, 0n, "it still leads without a quorum");
  const late = cluster.later(leader, "b");
  await cluster.time.run(REQUEST_TIMEOUT_MS + HEARTBEAT_MS);
  assert.deepEqual([early.ending, late.ending], ["timeout", "timeout"]);
});

test("a write that was given up is told of the leader that was lost meanwhile", async (context) => {
  const cluster = startCluster(context, { members: 5 });
  const leader = await cluster.prepare();
  const [a] = two(cluster);
  // Nothing but elections gets through to the member, so that its write never lands here.
  cluster.crash(leader);
  cluster.hub.decide((payload) => (isForward(payload, "propose") ? "drop" : undefined));
  const write = cluster.later(a, "k");
  await cluster.time.run(REQUEST_TIMEOUT_MS + HEARTBEAT_MS);
  if (cluster.leader === a) assert.equal(write.ending, "put");
  else assert.equal(write.ending, "timeout-leader-failure");
});
