import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_LIMITS, type Entry, type Message } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import {
  addMember,
  type Cluster,
  createCluster,
  ELECTION_TICKS,
  processReady,
  restart,
  type ScriptMember,
} from "./script/cluster.ts";

/**
 * Sentences of "In Search of an Understandable Consensus Algorithm" (extended version), checked.
 */

/** Members 1, 2, ... whose saved logs hold entries of these terms, from index 1. */
function membersWith(...logs: (readonly number[])[]): Cluster {
  const cluster = createCluster();
  const voters = logs.map((_, i) => memberId(BigInt(i + 1)));
  for (const terms of logs) {
    const member = addMember(cluster, {
      voters,
      learners: [],
      index: 0,
      preVote: false,
      checkQuorum: false,
      asyncSaves: false,
      limits: DEFAULT_LIMITS,
    });
    const entries = terms.map((term, i): Entry => ({
      index: i + 1,
      term,
      kind: "normal",
      data: new Uint8Array(0),
    }));
    const hardState = { term: terms.at(-1) ?? 0, vote: memberId(0n), commit: 0 };
    member.log.save({ hardState, snapshot: undefined, entries });
    restart(member);
  }
  return cluster;
}

function at(cluster: Cluster, n: number): ScriptMember {
  return cluster.members[n - 1] as ScriptMember;
}

function work(cluster: Cluster): void {
  for (const member of cluster.members) {
    for (let ready = member.raft.ready(); ready !== undefined; ready = member.raft.ready()) {
      processReady(cluster, member, ready);
    }
  }
}

/** Delivers until nothing is left; gives what was delivered. */
function settle(cluster: Cluster, passes: (m: Message) => boolean = () => true): Message[] {
  const delivered: Message[] = [];
  for (;;) {
    work(cluster);
    const messages = cluster.messages.filter(passes);
    cluster.messages = [];
    if (messages.length === 0) return delivered;
    delivered.push(...messages);
    for (const message of messages) at(cluster, Number(message.to)).raft.step(message);
  }
}

function terms(member: ScriptMember): number[] {
  return member.log.all().map((entry) => entry.term);
}

const ONE = memberId(1n);
const TWO = memberId(2n);
const THREE = memberId(3n);

test("§5.1: if one server's current term is smaller, it updates to the larger value", () => {
  const cluster = membersWith([1], [1], [1]);
  const { raft } = at(cluster, 1);
  raft.step({ kind: "heartbeat", from: TWO, to: ONE, term: 7, commit: 0, round: 0 });
  assert.deepEqual([raft.term, raft.role, raft.leader], [7, "follower", TWO]);
});

test("§5.1: a candidate or leader that sees a newer term reverts to follower", () => {
  const cluster = membersWith([1], [1], [1]);
  at(cluster, 1).raft.campaign();
  settle(cluster);
  const { raft } = at(cluster, 1);
  assert.equal(raft.role, "leader");
  const m = { from: TWO, to: ONE, term: 9, commit: 0, commitTerm: 0 } as const;
  raft.step({ kind: "vote-resp", ...m, rejected: true });
  assert.deepEqual([raft.role, raft.term], ["follower", 9]);
});

test("§5.1: a request with a stale term number is rejected", () => {
  const cluster = membersWith([5], [5], [5]);
  const { raft } = at(cluster, 1);
  const append = { kind: "append", from: TWO, to: ONE, prevIndex: 1, prevTerm: 5 } as const;
  raft.step({ ...append, term: 4, entries: [], commit: 1 });
  assert.deepEqual([raft.leader, raft.commit], [0n, 0]);
  const answer = raft.ready()?.messages[0];
  assert.ok(answer?.kind === "append-resp" && answer.rejected && answer.term === 5);
});

test("§5.2: each server votes for at most one candidate in a term, first come first served", () => {
  const cluster = membersWith([1], [1], [1]);
  const { raft } = at(cluster, 1);
  const vote = { kind: "vote", to: ONE, term: 2, lastIndex: 1, lastTerm: 1 } as const;
  const rest = { transfer: false, commit: 0, commitTerm: 0 };
  raft.step({ ...vote, ...rest, from: TWO });
  raft.step({ ...vote, ...rest, from: THREE });
  raft.step({ ...vote, ...rest, from: TWO });
  const ready = raft.ready();
  assert.equal(ready?.hardState?.vote, TWO);
  assert.deepEqual(
    ready.messagesAfterSave.map(({ kind, to }) => [kind, to]),
    [
      ["vote-resp", TWO],
      ["vote-resp", TWO],
    ],
  );
  assert.deepEqual(
    ready.messages.map((m) => m.kind === "vote-resp" && m.to === THREE && m.rejected),
    [true],
  );
});

test("§5.2: a candidate that hears of a legitimate leader of its term returns to follower", () => {
  const cluster = membersWith([1], [1], [1]);
  const { raft } = at(cluster, 1);
  raft.campaign();
  raft.step({ kind: "heartbeat", from: TWO, to: ONE, term: 2, commit: 0, round: 0 });
  assert.deepEqual([raft.role, raft.leader], ["follower", TWO]);
});

test("§5.2: election timeouts are chosen randomly from a fixed interval", () => {
  const seen = new Set<number>();
  const cluster = membersWith([1], [1], [1]);
  const { raft } = at(cluster, 1);
  for (let i = 0; i < 200; i++) {
    const { term } = raft;
    let ticks = 0;
    while (raft.term === term) {
      raft.tick();
      ticks++;
    }
    seen.add(ticks);
  }
  const all = Array.from({ length: ELECTION_TICKS }, (_, i) => ELECTION_TICKS + i);
  assert.deepEqual([...seen].sort(), all);
});

// Figure 7: the leader of term 8 and the six followers that may be there when it comes to power.
const LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const FIGURE_7: readonly (readonly [string, readonly number[]])[] = [
  ["(a) one entry missing", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
  ["(b) many entries missing", [1, 1, 1, 4]],
  ["(c) one extra entry", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
  ["(d) extra entries of a later term", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
  ["(e) missing and extra entries", [1, 1, 1, 4, 4, 4, 4]],
  ["(f) missing and extra entries of two terms", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
];

for (const [name, follower] of FIGURE_7) {
  test(`§5.3: a leader brings follower ${name} to its own log in few round trips`, () => {
    // A third member with the leader's log gives the vote that (c) and (d) refuse.
    const cluster = membersWith(LEADER, follower, LEADER);
    const { raft } = at(cluster, 1);
    while (raft.term < 8) raft.campaign();
    const delivered = settle(cluster);
    assert.equal(raft.role, "leader");
    const logs = cluster.members.map(terms);
    assert.deepEqual(logs, [
      [...LEADER, 8],
      [...LEADER, 8],
      [...LEADER, 8],
    ]);
    const refusals = delivered.filter((m) => m.kind === "append-resp" && m.rejected);
    assert.ok(refusals.length <= 2, `${refusals.length} refusals`);
  });
}

test("§5.3: a leader never overwrites or deletes entries in its own log", () => {
  const cluster = membersWith([1, 1], [1, 2], [1]);
  const { raft, log } = at(cluster, 2);
  raft.campaign();
  settle(cluster);
  assert.equal(raft.role, "leader");
  assert.deepEqual(
    log.all().map(({ index, term }) => [index, term]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
});

// §5.4.1: the log with the later last term is more up to date; with equal terms, the longer one.
const UP_TO_DATE: readonly (readonly [string, number[], number[], boolean])[] = [
  ["a later last term, though shorter", [1, 1, 1], [2], true],
  ["an earlier last term, though longer", [2], [1, 1, 1], false],
  ["the same term and length", [1, 1], [1, 1], true],
  ["the same term and shorter", [1, 1], [1], false],
  ["the same term and longer", [1], [1, 1], true],
];

for (const [name, voter, candidate, granted] of UP_TO_DATE) {
  test(`§5.4.1: a candidate with ${name} ${granted ? "gets" : "does not get"} the vote`, () => {
    const cluster = membersWith(voter, candidate);
    at(cluster, 2).raft.campaign();
    settle(cluster);
    // The first attempt may only have brought its term up to date.
    if (at(cluster, 2).raft.role !== "leader") at(cluster, 2).raft.campaign();
    settle(cluster);
    assert.equal(at(cluster, 2).raft.role === "leader", granted);
  });
}

test("§5.4.2: only entries of the leader's current term are committed by counting replicas", () => {
  const cluster = membersWith([1, 2], [1, 2], [1]);
  const { raft } = at(cluster, 1);
  raft.campaign();
  // Everybody has index 2 of term 2 at once; the entry of term 3 is on its way.
  const isOwn = (m: Message): boolean => m.kind === "append" && m.entries.some((e) => e.term === 3);
  settle(cluster, (m) => !isOwn(m));
  assert.deepEqual([raft.role, raft.term, raft.commit], ["leader", 3, 0]);
  raft.tick();
  settle(cluster);
  assert.equal(raft.commit, 3);
});

test("§5.5: requests are idempotent: a repeated append changes nothing", () => {
  const cluster = membersWith([1], [1], [1]);
  at(cluster, 1).raft.campaign();
  const delivered = settle(cluster);
  const before = terms(at(cluster, 2));
  for (const message of delivered) {
    if (message.kind === "append") at(cluster, Number(message.to)).raft.step(message);
  }
  settle(cluster);
  assert.deepEqual(terms(at(cluster, 2)), before);
  assert.equal(at(cluster, 1).raft.role, "leader");
});

test("thesis §6.4: a leader cut off from its quorum answers no read", () => {
  const cluster = membersWith([1], [1], [1]);
  const { raft } = at(cluster, 1);
  raft.campaign();
  settle(cluster);
  assert.equal(raft.readIndex(1).kind, "accepted");
  const states: number[] = [];
  for (let i = 0; i < 5; i++) {
    raft.tick();
    for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
      states.push(...ready.readStates.map(({ ctx }) => ctx));
      raft.advance();
    }
  }
  assert.deepEqual(states, []);
});
