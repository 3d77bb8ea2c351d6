import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_MEMBER } from "../../src/core/raft/mod.ts";
import { type MemberId, memberId } from "../../src/core/types/mod.ts";
import { decodeForward, encodeForward, encodeMessages } from "../../src/wire/mod.ts";
import {
  ELECTION_MS,
  type FakeCluster,
  type FakeMember,
  HEARTBEAT_MS,
  ending,
  startCluster,
  urlOf,
} from "./fake-cluster.ts";
import { ACTOR } from "../fsm/fixtures.ts";

/** What operators and the rest of the member ask of a node: leadership, status; and strangers. */

function followers(cluster: FakeCluster): readonly [FakeMember, FakeMember] {
  const [a, b] = cluster.followers;
  assert.ok(a !== undefined && b !== undefined);
  return [a, b];
}

test("leadership is moved to a member, by the leader alone", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = followers(cluster);
  const move = (at: FakeMember, to: MemberId): Promise<string> =>
    cluster.time.finish(ending(at.node.moveLeader(to)));
  assert.equal(await move(a, b.id), "not-leader");
  assert.equal(await move(leader, memberId(99n)), "bad-leader-transferee");
  assert.equal(await move(leader, leader.id), "done");
  assert.equal(await move(leader, a.id), "done");
  assert.equal(leader.node.status().leader, a.id);
  cluster.isolate(b);
  assert.equal(await move(a, b.id), "timeout-leader-transfer");
  assert.equal((await cluster.put(a, "k")).kind, "put", "it does not serve again");
});

test("a leader that stops hands over, and writes go on at once", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a] = followers(cluster);
  const since = cluster.time.now;
  const write = cluster.later(a, "during");
  assert.equal(await cluster.time.finish(leader.node.transferLeadership()), true);
  leader.node.stop();
  cluster.crash(leader);
  assert.equal((await cluster.put(a, "after")).kind, "put");
  assert.ok(cluster.time.now - since < 200, `${cluster.time.now - since} ms without a leader`);
  assert.equal(write.ending, "put");
  const [b] = cluster.followers;
  assert.equal(await b?.node.transferLeadership(), true, "a follower has nothing to hand over");
});

test("a leader without anybody to hand over to says so in time", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  cluster.isolate(leader);
  const since = cluster.time.now;
  assert.equal(await cluster.time.finish(leader.node.transferLeadership()), false);
  assert.ok(cluster.time.now - since <= ELECTION_MS + HEARTBEAT_MS);
});

test("listeners learn of each leader, and of its loss", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = followers(cluster);
  const told: MemberId[] = [];
  const end = a.node.onLeadership((id) => void told.push(id));
  cluster.crash(leader);
  cluster.crash(b);
  await cluster.time.run(3 * ELECTION_MS);
  assert.deepEqual(told, [NO_MEMBER]);
  cluster.start(b);
  await cluster.elect();
  assert.equal(told.at(-1), cluster.leader?.id);
  end();
  const count = told.length;
  cluster.crash(b);
  await cluster.time.run(3 * ELECTION_MS);
  assert.equal(told.length, count);
});

test("each member tells how all are; one that is down does not answer", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, down] = followers(cluster);
  cluster.crash(down);
  await cluster.time.run(HEARTBEAT_MS);
  for (const at of [leader, a]) {
    const since = cluster.time.now;
    const asked = [at.node.fleetStatus(), at.node.fleetStatus()];
    const [fleet = [], shared] = await cluster.time.finish(Promise.all(asked));
    assert.ok(fleet === shared, "Who asks meanwhile asks the members again");
    assert.ok(cluster.time.now - since <= ELECTION_MS);
    assert.deepEqual(
      fleet.map(({ name, report }) => [name, report?.leader]),
      cluster.members.map(({ name, isUp }) => [name, isUp ? leader.id : undefined]),
    );
    const other = fleet.find(({ id }) => id === a.id);
    assert.equal(other?.report?.version, "1.2.3");
    assert.equal(other.report.appliedIndex, a.node.status().appliedIndex);
    assert.equal(other.match, at === leader ? a.node.status().raftIndex : undefined);
    assert.equal(other.roundTripMs, at === a ? 0 : 2 * cluster.hub.latencyMs);
  }
});

test("a message that claims another member's id is dropped", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = followers(cluster);
  const { term } = leader.node.status();
  const forged = encodeMessages([
    { kind: "heartbeat", from: b.id, to: a.id, term: term + 5, commit: 0, round: 0 },
  ]);
  a.node.receive(leader.name, "raft", forged);
  await cluster.time.run(10);
  assert.equal(a.node.status().term, term, "a forged message was believed");
  a.node.receive(b.name, "raft", forged);
  await cluster.time.run(10);
  assert.equal(a.node.status().term, term + 5, "this test forges nothing that matters");
});

test("a batch that is not its sender's own is not taken, nor is a raw proposal", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a, b] = followers(cluster);
  let data: Uint8Array | undefined;
  cluster.hub.decide(({ channel, bytes }) => {
    if (channel !== "fwd") return undefined;
    const message = decodeForward(bytes);
    if (message.kind === "propose") data = message.data;
    return "drop";
  });
  cluster.later(a, "stolen");
  assert.ok(await cluster.time.until(() => data !== undefined, 100));
  assert.ok(data !== undefined);
  const { term, raftIndex } = leader.node.status();
  leader.node.receive(b.name, "fwd", encodeForward({ kind: "propose", term, data }));
  const raw = { kind: "propose", from: b.id, to: leader.id, term: 0, entryKind: "normal", data };
  leader.node.receive(b.name, "raft", encodeMessages([raw as never]));
  await cluster.time.run(10);
  assert.equal(leader.node.status().raftIndex, raftIndex);
  leader.node.receive(a.name, "fwd", encodeForward({ kind: "propose", term, data }));
  await cluster.time.run(10);
  assert.equal(leader.node.status().raftIndex, raftIndex + 1);
});

test("garbage is dropped, and those who sent it are still heard", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [a, b] = followers(cluster);
  for (const channel of ["raft", "fwd", "snap"] as const) {
    for (const bytes of [new Uint8Array(0), new Uint8Array(100).fill(255)]) {
      a.node.receive(b.name, channel, bytes);
    }
  }
  assert.equal((await cluster.put(a, "k")).kind, "put");
});

test("a member to be is told who it is by anybody", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const [a] = followers(cluster);
  const id = memberId(44n);
  const answers: unknown[] = [];
  cluster.hub.setPeers("m9", ["m1", "m2", "m3"]);
  for (const member of cluster.members) {
    const others = cluster.members.filter((one) => one !== member).map(({ name }) => name);
    cluster.hub.setPeers(member.name, [...others, "m9"]);
  }
  const ask = async (of: FakeMember): Promise<void> => {
    const send = cluster.hub.connect(
      "m9",
      (_, channel, bytes) => {
        if (channel === "fwd") answers.push(decodeForward(bytes));
      },
      { isAlive: () => true },
    );
    const body = { kind: "who-am-i", name: "m9" } as const;
    send.send(of.name, "fwd", encodeForward({ kind: "request", id: 5, body }));
    await cluster.time.run(10);
  };
  await ask(a);
  const change = { kind: "add", id, peerUrls: [urlOf("m9")], isLearner: true } as const;
  assert.equal(await cluster.time.finish(ending(leader.node.changeMembers(change, ACTOR))), "done");
  await cluster.settle();
  await ask(a);
  const members = answers.map((answer) => {
    const reply = answer as Extract<ReturnType<typeof decodeForward>, { kind: "reply" }>;
    assert.ok(reply.id === 5 && reply.body.kind === "member");
    return [reply.body.member?.id, reply.body.started, reply.body.members.length];
  });
  assert.deepEqual(members, [
    [undefined, false, 3],
    [id, false, 4],
  ]);
});

test("too many writes at once are refused to their clients, wherever they ask", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [a] = followers(cluster);
  cluster.isolate(a);
  const writes = Array.from({ length: 20_010 }, () => cluster.later(a, "k"));
  await cluster.time.run(10);
  const refused = writes.filter(({ ending: end }) => end === "too-many-requests");
  assert.equal(refused.length, 10);
  assert.equal(writes.filter(({ ending: end }) => end === "waiting").length, 20_000);
});
