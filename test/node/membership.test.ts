import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../../src/core/raft/mod.ts";
import { decodeMessages, encodeMessages } from "../../src/wire/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import {
  ELECTION_MS,
  type FakeCluster,
  type FakeMember,
  REQUEST_TIMEOUT_MS,
  ending,
  endingNow,
  startCluster,
  urlOf,
  votersOf,
} from "./fake-cluster.ts";
import { noSpace } from "./fake-disk.ts";
import { ACTOR } from "../fsm/fixtures.ts";

const NEW = memberId(0xfeed_0000_0000_0001n);
const OTHER = memberId(0xfeed_0000_0000_0002n);

function isAck(bytes: Uint8Array): boolean {
  return decodeMessages(bytes).some(({ kind }) => kind === "append-resp");
}

function add(name: string, isLearner = true, id = NEW) {
  return { kind: "add", id, peerUrls: [urlOf(name)], isLearner } as const;
}

/** Adds a learner, starts it and lets it catch up. */
async function join(
  cluster: FakeCluster,
  at: FakeMember,
  name: string,
  id = NEW,
): Promise<FakeMember> {
  assert.equal(await cluster.change(at, add(name, true, id)), "done");
  const joiner = cluster.addJoiner(name, id);
  cluster.start(joiner);
  await cluster.settle();
  return joiner;
}

test("a member joins as learner by a snapshot, serves reads of its own, and is promoted", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  await cluster.put(follower, "k", "v");
  const joiner = await join(cluster, follower, "m4");
  assert.deepEqual(cluster.keys(joiner), [["k", "v"]]);
  assert.deepEqual(joiner.node.status().learners, [NEW]);
  assert.equal(joiner.node.status().isLearner, true);
  await cluster.announce(joiner);
  assert.equal(await cluster.change(joiner, { kind: "promote", id: NEW }), "done");
  await cluster.settle();
  for (const member of cluster.members) assert.equal(votersOf(member).length, 4);
  const row = joiner.node.state.members().find(({ id }) => id === NEW);
  assert.deepEqual([row?.name, row?.isLearner], ["m4", false]);
  assert.equal((await cluster.put(joiner, "k", "w")).kind, "put");
  // Its configuration is stored with its state: it starts again with it.
  cluster.restart(joiner);
  await cluster.settle();
  assert.equal(votersOf(joiner).length, 4);
});

test("a removed member is told so and serves nothing; the rest goes on", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [gone, asked] = cluster.followers;
  assert.ok(gone !== undefined && asked !== undefined);
  assert.equal(await cluster.change(asked, { kind: "remove", id: gone.id }), "done");
  assert.ok(await cluster.time.until(() => gone.removals.length > 0, 3 * ELECTION_MS));
  assert.equal(gone.removals.length, 1);
  assert.match(gone.removals[0] ?? "", /removed from the cluster/);
  assert.equal(gone.node.status().removed, true);
  assert.equal(await ending(gone.node.readIndex()), "stopped");
  cluster.crash(gone);
  assert.equal((await cluster.put(leader, "k")).kind, "put");
  assert.equal(votersOf(leader).length, 2);
});

test("a member that was removed while it was down is told when it comes back", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [gone] = cluster.followers;
  assert.ok(gone !== undefined);
  cluster.crash(gone);
  assert.equal(await cluster.change(leader, { kind: "remove", id: gone.id }), "done");
  const term = leader.node.status().term;
  cluster.start(gone);
  assert.ok(await cluster.time.until(() => gone.removals.length > 0, 5 * ELECTION_MS));
  assert.equal(leader.node.status().term, term, "it has disturbed the cluster");
});

test("the leader that is removed hands over first, and is told", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [asked] = cluster.followers;
  assert.ok(asked !== undefined);
  const since = cluster.time.now;
  assert.equal(await cluster.change(asked, { kind: "remove", id: leader.id }), "done");
  assert.equal((await cluster.put(asked, "k")).kind, "put");
  assert.ok(cluster.time.now - since < ELECTION_MS, "nobody led for a while");
  assert.ok(await cluster.time.until(() => leader.removals.length > 0, 3 * ELECTION_MS));
});

test("a leader to be removed that led no more in between waits until it is ready again", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  // It is never heard that it hands over, nor, once it leads again, that its entry is saved.
  let isHeard = true;
  cluster.hub.decide(({ channel, bytes }) => {
    if (channel !== "raft") return undefined;
    const kinds = decodeMessages(bytes).map(({ kind }) => kind);
    const isLost = kinds.includes("timeout-now") || (!isHeard && kinds.includes("append-resp"));
    return isLost ? "drop" : undefined;
  });
  const { term } = leader.node.status();
  const done = ending(leader.node.changeMembers({ kind: "remove", id: leader.id }, ACTOR));
  await cluster.time.run(ELECTION_MS / 2);
  const { leadTransferee } = leader.node.status();
  // Not the one that it waits for.
  const other = cluster.followers.find(({ id }) => id !== leadTransferee);
  assert.ok(leadTransferee !== 0n && other !== undefined);
  isHeard = false;
  const tell = (message: Message): void =>
    leader.node.receive(other.name, "raft", encodeMessages([message]));
  const envelope = { from: other.id, to: leader.id, term: term + 1 };
  tell({ ...envelope, kind: "heartbeat", commit: 0, round: 0 });
  await cluster.time.run(1);
  assert.equal(leader.node.status().leader, other.id);
  tell({ ...envelope, kind: "timeout-now" });
  await cluster.time.run(ELECTION_MS / 2 + 10);
  assert.equal(leader.node.status().role, "leader");
  assert.ok(leader.node.status().term > term + 1);
  isHeard = true;
  cluster.hub.decide(() => undefined);
  assert.equal(await cluster.time.finish(done), "done");
  assert.equal(votersOf(other).length, 2);
});

test("two leaders to be do not hand over to each other when both are to go", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [next, other] = cluster.followers;
  assert.ok(next !== undefined && other !== undefined);
  // Never the one to hand over to: what it has saved is not known.
  cluster.hub.decide(({ from, channel, bytes }) =>
    channel === "raft" && from === other.name && isAck(bytes) ? "drop" : undefined,
  );
  const { term } = leader.node.status();
  const changes = [leader, next].map(({ node, id }) =>
    ending(node.changeMembers({ kind: "remove", id }, ACTOR)),
  );
  const isOneGone = (): boolean => [leader, next].some((one) => votersOf(one).length === 2);
  assert.ok(await cluster.time.until(isOneGone, REQUEST_TIMEOUT_MS / 2), "they hand over for ever");
  cluster.hub.decide(() => undefined);
  assert.deepEqual(await cluster.time.finish(Promise.all(changes)), ["done", "done"]);
  assert.ok(other.node.status().term <= term + 4, "leadership went to and fro");
  assert.ok(await cluster.time.until(() => votersOf(other).length === 1, ELECTION_MS));
});

test("a leader that removed itself stays until the others know: it may be needed for that", async (context) => {
  const cluster = startCluster(context, { members: 2 });
  const leader = await cluster.prepare();
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  const hasRemoval = (): boolean => other.saves.flat().some(({ kind }) => kind === "conf-change");
  // It cannot hand over; and once the other has saved the entry, it hears nothing more.
  cluster.hub.decide(({ from, channel, bytes }) => {
    if (channel !== "raft" || from !== leader.name) return undefined;
    const isTransfer = decodeMessages(bytes).some(({ kind }) => kind === "timeout-now");
    return isTransfer || hasRemoval() ? "drop" : undefined;
  });
  const done = ending(leader.node.changeMembers({ kind: "remove", id: leader.id }, ACTOR));
  await cluster.time.run(5 * ELECTION_MS);
  assert.equal(await ending(leader.node.readIndex()), "stopped");
  assert.equal(await endingNow(done), "waiting", "whoever asked may switch it off now");
  assert.deepEqual(leader.removals, [], "it left the other alone");
  cluster.hub.decide(() => undefined);
  assert.ok(await cluster.time.until(() => leader.removals.length > 0, 5 * ELECTION_MS));
  assert.equal(await endingNow(done), "done");
  cluster.crash(leader);
  assert.equal((await cluster.put(other, "k")).kind, "put");
});

test("a member is told of its removal only when a crash of who tells it cannot take that back", async (context) => {
  const cluster = startCluster(context, { members: 2 });
  const leader = await cluster.prepare();
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  const isApplied = (): boolean => leader.node.state.isRemovedMember(other.id);
  let isFull = true;
  // Full from the moment on at which the removal is applied.
  const saveFails = (): Error | undefined => (isFull && isApplied() ? noSpace() : undefined);
  Object.defineProperty(leader.disk, "saveFails", { get: saveFails });
  const done = cluster.change(leader, { kind: "remove", id: other.id });
  assert.ok(await cluster.time.until(isApplied, ELECTION_MS));
  await cluster.time.run(3 * ELECTION_MS);
  assert.deepEqual(other.removals, [], "the other ended, and may be needed");
  isFull = false;
  assert.equal(await cluster.time.finish(done), "done");
  assert.ok(await cluster.time.until(() => other.removals.length > 0, 3 * ELECTION_MS));
});

test("a learner tells no member of its removal: the others may need that one's vote", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const learner = await join(cluster, leader, "n4");
  const [removed, other] = cluster.followers.filter((one) => one !== learner);
  assert.ok(removed !== undefined && other !== undefined);
  cluster.isolate(removed);
  assert.equal(await cluster.change(leader, { kind: "remove", id: removed.id }), "done");
  await cluster.settleOf([leader, other, learner]);
  cluster.hub.heal();
  for (const voter of [leader, other]) cluster.hub.cut(voter.name, removed.name);
  await cluster.time.run(6 * ELECTION_MS);
  assert.deepEqual(removed.removals, []);
  cluster.hub.heal();
  assert.ok(await cluster.time.until(() => removed.removals.length > 0, 6 * ELECTION_MS));
});

test("a learner finds the new leader, of whom it has never heard", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const learner = await join(cluster, leader, "n4");
  cluster.isolate(learner);
  assert.equal(await cluster.change(leader, add("n5", false, OTHER)), "done");
  const fresh = cluster.addJoiner("n5", OTHER);
  cluster.start(fresh);
  await cluster.settleOf([leader, fresh, ...cluster.followers.filter((one) => one !== learner)]);
  await cluster.time.finish(leader.node.moveLeader(fresh.id));
  cluster.hub.heal();
  assert.equal((await cluster.put(fresh, "k")).kind, "put");
  await cluster.settle(6 * ELECTION_MS);
  assert.equal(cluster.leader, fresh);
});

test("two members: the leader removes the other, then has nobody to ask", async (context) => {
  const cluster = startCluster(context, { members: 2 });
  const leader = await cluster.prepare();
  const [other] = cluster.followers;
  assert.ok(other !== undefined);
  assert.equal(await cluster.change(leader, { kind: "remove", id: other.id }), "done");
  assert.equal(await ending(leader.node.readIndex()), "at once");
  assert.equal(
    await cluster.change(leader, { kind: "remove", id: leader.id }),
    "not-enough-started-members",
  );
});

test("a member whose disk is lost is replaced under its name while the cluster works", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [lost] = cluster.followers;
  assert.ok(lost !== undefined);
  cluster.crash(lost);
  assert.equal(await cluster.change(leader, { kind: "remove", id: lost.id }), "done");
  await cluster.put(leader, "k", "v");
  const stale = { ...lost };
  Object.assign(lost, { name: "old" });
  const fresh = await join(cluster, leader, stale.name);
  await cluster.announce(fresh);
  assert.equal(await cluster.change(leader, { kind: "promote", id: NEW }), "done");
  await cluster.settle();
  assert.deepEqual(cluster.keys(fresh), [["k", "v"]]);
  assert.equal(votersOf(fresh).length, 3);
});

test("a removed member is told so under a name that another removed one had before", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [lost] = cluster.followers;
  assert.ok(lost !== undefined);
  cluster.crash(lost);
  assert.equal(await cluster.change(leader, { kind: "remove", id: lost.id }), "done");
  const { name } = lost;
  Object.assign(lost, { name: "old" });
  const fresh = await join(cluster, leader, name);
  await cluster.announce(fresh);
  // As one that led and removed itself: no message of its log says which id it has.
  const isGone = (): boolean => leader.node.state.isRemovedMember(fresh.id);
  cluster.hub.decide(({ from, channel }) =>
    channel === "raft" && from === name && isGone() ? "drop" : undefined,
  );
  assert.equal(await cluster.change(leader, { kind: "remove", id: fresh.id }), "done");
  assert.ok(await cluster.time.until(() => fresh.removals.length > 0, 3 * ELECTION_MS));
});

test("a learner that has not caught up is not promoted", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  for (let n = 0; n < 20; n++) await cluster.put(leader, "k");
  assert.equal(await cluster.change(leader, add("m4")), "done");
  assert.equal(await cluster.change(leader, { kind: "promote", id: NEW }), "learner-not-ready");
});

test("what etcd refuses is refused with its error, on every member", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  for (const at of cluster.members) {
    const refused = async (change: Parameters<typeof cluster.change>[1], code: string) =>
      assert.equal(await cluster.change(at, change), code, at.name);
    await refused({ kind: "remove", id: NEW }, "member-not-found");
    await refused({ kind: "promote", id: NEW }, "member-not-found");
    await refused({ kind: "promote", id: leader.id }, "member-not-learner");
    await refused({ kind: "update", id: NEW, peerUrls: [urlOf("m4")] }, "member-not-found");
    await refused({ kind: "update", id: leader.id, peerUrls: [] }, "member-bad-urls");
    await refused(add("m4", true, leader.id), "member-exists");
    await refused(add("m1"), "peer-url-exists");
  }
  assert.equal(await cluster.change(leader, add("m4")), "done");
  assert.equal(await cluster.change(leader, add("m5", true, OTHER)), "too-many-learners");
  assert.equal(await cluster.change(leader, { kind: "remove", id: NEW }), "done");
  assert.equal(await cluster.change(leader, { kind: "remove", id: NEW }), "member-not-found");
  assert.equal(await cluster.change(leader, add("m4")), "member-exists", "a removed id came back");
});

test("a cluster without a member to spare takes no new voter", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [down, other] = cluster.followers;
  assert.ok(down !== undefined && other !== undefined);
  cluster.crash(down);
  await cluster.time.run(2 * ELECTION_MS);
  // One is down: a learner may come, and the dead one may go, but none of those a quorum needs.
  assert.equal(await cluster.change(leader, { kind: "remove", id: other.id }), "unhealthy-cluster");
  assert.equal(await cluster.change(leader, add("m4")), "done");
  assert.equal(await cluster.change(leader, { kind: "remove", id: down.id }), "done");
});

test("members that never started count against the quorum", async (context) => {
  const cluster = startCluster(context, { members: 1 });
  const leader = await cluster.prepare();
  assert.equal(await cluster.change(leader, add("m2", false)), "done");
  const third = add("m3", false, OTHER);
  assert.equal(await cluster.change(leader, third), "not-enough-started-members");
});

test("an update changes the address, which must be nobody else's", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [at, other] = cluster.followers;
  assert.ok(at !== undefined && other !== undefined);
  const update = { kind: "update", id: at.id, peerUrls: ["https://elsewhere:2380"] } as const;
  assert.equal(await cluster.change(at, update), "done");
  const row = at.node.state.members().find(({ id }) => id === at.id);
  assert.deepEqual(row?.peerUrls, ["https://elsewhere:2380"]);
  const taken = { ...update, id: other.id };
  assert.equal(await cluster.change(other, taken), "peer-url-exists");
});

test("an update gives a member that has not started no name of another", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [at, victim] = cluster.followers;
  assert.ok(at !== undefined && victim !== undefined);
  await cluster.announce(victim);
  assert.equal(await cluster.change(at, add("m9")), "done");
  // Another port makes another URL, and the name on the transport is the same.
  const peerUrls = [urlOf(victim.name).replace(/:\d+$/, ":9999")];
  assert.equal(await cluster.change(at, { kind: "update", id: NEW, peerUrls }), "peer-url-exists");
  await cluster.settle();
  assert.equal((await cluster.put(leader, "k", "v")).kind, "put");
});

test("changes that are asked for at once are made one after the other", async (context) => {
  const cluster = startCluster(context, { members: 5 });
  await cluster.prepare();
  const [a, b, c] = cluster.followers;
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  const changes = [a.node.changeMembers({ kind: "remove", id: b.id }, ACTOR)];
  changes.push(c.node.changeMembers(add("m6"), ACTOR));
  assert.deepEqual(await cluster.time.finish(Promise.all(changes.map(ending))), ["done", "done"]);
  assert.equal(votersOf(a).length, 4);
});

test("a change waits for a leader, and no longer than its time", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = cluster.followers;
  assert.ok(a !== undefined && b !== undefined);
  cluster.crash(leader);
  const since = cluster.time.now;
  assert.equal(await cluster.change(a, add("m4")), "done");
  assert.ok(cluster.time.now - since >= ELECTION_MS / 2);
  cluster.crash(b);
  await cluster.time.run(2 * ELECTION_MS);
  const late = cluster.time.now;
  assert.match(await cluster.change(a, { kind: "remove", id: NEW }), /^timeout/);
  assert.ok(cluster.time.now - late <= REQUEST_TIMEOUT_MS + ELECTION_MS);
});

test("a member that never heard of the leader asks who there is", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [behind, other] = cluster.followers;
  assert.ok(behind !== undefined && other !== undefined);
  cluster.crash(behind);
  const fresh = await join(cluster, leader, "m4");
  await cluster.announce(fresh);
  assert.equal(await cluster.change(leader, { kind: "promote", id: NEW }), "done");
  await cluster.settle();
  await cluster.time.finish(leader.node.moveLeader(NEW));
  cluster.start(behind);
  assert.equal(behind.node.state.members().length, 3, "it knows already");
  await cluster.settle();
  assert.equal(behind.node.status().leader, NEW);
});
