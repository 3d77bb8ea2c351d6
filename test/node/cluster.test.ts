import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ACTOR } from "../fsm/fixtures.ts";
import {
  type FakeCluster,
  type FakeMember,
  ELECTION_MS,
  HEARTBEAT_MS,
  ending,
  startCluster,
} from "./fake-cluster.ts";

/** Three members of which nobody has asked anything for longer than the leader remembers it. */
async function startCalm(context: TestContext): Promise<{
  readonly cluster: FakeCluster;
  readonly leader: FakeMember;
  readonly follower: FakeMember;
}> {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  await cluster.time.run(2000);
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  return { cluster, leader, follower };
}

test("three members elect one leader, and all know it", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.elect();
  await cluster.time.run(ELECTION_MS);
  for (const { node } of cluster.members) assert.equal(node.status().leader, leader.id);
  assert.equal(cluster.members.filter(({ node }) => node.status().role === "leader").length, 1);
});

test("what any member is asked to write is answered there and comes to all", async (context) => {
  const cluster = startCluster(context, { members: 5 });
  await cluster.prepare();
  for (const [i, member] of cluster.members.entries()) {
    const result = await cluster.put(member, `k${i}`, "v");
    assert.equal(result.kind === "put" && result.revision, i + 2);
    assert.deepEqual(cluster.keys(member, `k${i}`, ""), [[`k${i}`, "v"]]);
  }
  await cluster.settle();
  for (const member of cluster.members) assert.equal(cluster.keys(member).length, 5);
});

test("the leader dies: another one takes over, nothing acknowledged is lost, and it comes back", async (context) => {
  const cluster = startCluster(context);
  const first = await cluster.prepare();
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  await cluster.put(follower, "a");
  cluster.crash(first);
  const waited = ending(cluster.put(follower, "b"));
  assert.equal(await waited, "put");
  const second = await cluster.elect();
  assert.notEqual(second, first);
  cluster.start(first);
  await cluster.settle();
  for (const member of cluster.members) {
    assert.deepEqual(
      cluster.keys(member).map(([key]) => key),
      ["a", "b"],
    );
  }
});

test("the leader sends its entries off before it saves them itself", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const saves = leader.saves.length;
  const savesWhenLeft: number[] = [];
  cluster.hub.onLeft = () => void savesWhenLeft.push(leader.saves.length);
  const sent = cluster.hub.sent.length;
  assert.equal((await cluster.put(leader, "k")).kind, "put");
  assert.deepEqual(savesWhenLeft, [saves], "one wait, and nothing saved before it");
  assert.equal(leader.saves.length, saves + 1);
  const to = cluster.hub.sent.slice(sent, sent + 2).map((payload) => payload.to);
  assert.deepEqual(to.toSorted(), cluster.followers.map(({ name }) => name).toSorted());
});

test("writes one after the other take one round of messages each: the next one tells of the commit", async (context) => {
  const { cluster, leader } = await startCalm(context);
  const sent = cluster.hub.sent.length;
  const began = cluster.time.now;
  for (let i = 0; i < 20; i++) assert.equal((await cluster.put(leader, `k${i}`)).kind, "put");
  const heartbeats = 2 * Math.ceil((cluster.time.now - began) / HEARTBEAT_MS);
  const rounds = cluster.hub.sent.slice(sent).filter(({ from }) => from === leader.name);
  assert.ok(rounds.length <= 2 * 20 + heartbeats, `${rounds.length} payloads for 20 writes`);
  await cluster.time.run(10);
  for (const follower of cluster.followers) assert.equal(cluster.version(follower, "k19"), 1);
});

test("a follower's client waits for no later write to tell of the commit of its own", async (context) => {
  const { cluster, follower } = await startCalm(context);
  const began = cluster.time.now;
  assert.equal((await cluster.put(follower, "k")).kind, "put");
  // To the leader, to the others, back, and the commit.
  assert.equal(cluster.time.now - began, 4 * cluster.hub.latencyMs);
});

test("a follower acknowledges what it has saved before it applies what is committed", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  await cluster.put(leader, "a");
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  const versions: number[] = [];
  cluster.hub.onLeft = (name) => {
    if (name === follower.name) versions.push(cluster.version(follower, "a"));
  };
  // The news of the first one's commit goes with it.
  await cluster.put(leader, "b");
  assert.deepEqual(versions, [0]);
  assert.equal(cluster.version(follower, "a"), 1);
});

test("a follower's read waits for no later write to tell of the commit of the one before it", async (context) => {
  const { cluster, leader, follower } = await startCalm(context);
  assert.equal(await cluster.time.finish(ending(follower.node.readIndex())), "done");
  assert.equal((await cluster.put(leader, "k")).kind, "put");
  // What it hears of at once, it knows of a message later.
  await cluster.time.run(cluster.hub.latencyMs);
  assert.equal(cluster.version(follower, "k"), 1);
});

test("a member that is removed hears of it before the change is in force", async (context) => {
  const { cluster, leader, follower } = await startCalm(context);
  const began = cluster.time.now;
  const done = ending(leader.node.changeMembers({ kind: "remove", id: follower.id }, ACTOR));
  assert.ok(await cluster.time.until(() => follower.node.status().removed));
  assert.equal(cluster.time.now - began, 3 * cluster.hub.latencyMs);
  assert.equal(await cluster.time.finish(done), "done");
});

test("a leader that stops tells of the commit that was to go with the next entries", async (context) => {
  const { cluster, leader } = await startCalm(context);
  assert.equal((await cluster.put(leader, "k")).kind, "put");
  const sent = cluster.hub.sent.length;
  leader.node.stop();
  assert.equal(cluster.hub.sent.length - sent, cluster.followers.length);
});

test("a leader that stops between sending and saving acknowledges nothing", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const saves = leader.saves.length;
  const write = cluster.later(leader, "k");
  cluster.hub.onLeft = () => leader.node.stop();
  assert.ok(await cluster.time.until(() => write.ending !== "waiting"));
  assert.equal(write.ending, "stopped");
  assert.equal(leader.saves.length, saves + 1, "a stop saves what is left to save");
  leader.isUp = false;
  const next = await cluster.elect();
  // Whether the followers commit it is theirs to say: nobody was told that it was written.
  assert.equal((await cluster.put(next, "k2")).kind, "put");
});
