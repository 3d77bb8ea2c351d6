import { assert, assertNever } from "../../stdx/mod.ts";
import { campaign, handleVoteResp } from "./candidate.ts";
import { handleVote, learnCommit, refuseVote } from "./election.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./follower.ts";
import { stepLeader, tickLeader } from "./leader.ts";
import { send } from "./outbox.ts";
import { becomeFollower, restartElectionTimer } from "./roles.ts";
import { hasLiveLeader, type RaftState } from "./state.ts";
import { NO_MEMBER, type AppendMessage, type HeartbeatMessage, type Message } from "./types.ts";
import type { SnapshotMessage } from "./types.ts";

/**
 * Messages and time. The rules that hold for all roles come first (Raft §5.1): a higher term makes
 * a follower, a lower one is not listened to, votes are answered by everyone; then the role is
 * asked.
 */
export function step(r: RaftState, m: Message): void {
  if (m.to !== r.id || m.from === r.id) return;
  if (!passesTerm(r, m)) return;
  switch (m.kind) {
    case "vote":
    case "pre-vote":
      handleVote(r, m);
      return;
    case "append":
    case "heartbeat":
    case "snapshot":
      stepLeaderMessage(r, m);
      return;
    default:
      stepRole(r, m);
  }
}

export function tick(r: RaftState): void {
  if (r.lead !== undefined) {
    tickLeader(r);
    return;
  }
  r.electionElapsed++;
  if (r.electionElapsed < r.electionTicks || !r.tracker.selfIsVoter) return;
  r.electionTimeout ??= r.electionTicks + r.random.below(r.electionTicks);
  if (r.electionElapsed >= r.electionTimeout) {
    restartElectionTimer(r);
    campaign(r, "timeout");
  }
}

/** Compares terms; false if the message goes no further. */
function passesTerm(r: RaftState, m: Message): boolean {
  // Forwarded requests carry no term.
  if (m.term === 0) return true;
  if (m.term > r.term) return meetHigherTerm(r, m);
  if (!r.rules.isStale(m.term, r.term)) return true;
  if (m.kind === "append" || m.kind === "heartbeat") {
    // A leader of old that still believes: tell it the term, or it will never hear of it from a
    // member that may not campaign (etcd-io/raft, checkQuorum with a partitioned member).
    send(r, {
      kind: "append-resp",
      from: r.id,
      to: m.from,
      term: r.term,
      index: 0,
      rejected: true,
      hintIndex: 0,
      hintTerm: 0,
      needsSnapshot: false,
    });
  } else if (m.kind === "pre-vote") {
    refuseVote(r, m);
  } else if (m.kind === "pre-vote-resp" || m.kind === "vote-resp") {
    // The answer is too old to count, but what is committed stays so.
    learnCommit(r, m);
  }
  return false;
}

function meetHigherTerm(r: RaftState, m: Message): boolean {
  switch (m.kind) {
    case "vote":
    case "pre-vote":
      if (!m.transfer && hasLiveLeader(r)) return false;
      // A pre-vote asks about a term that does not exist yet.
      if (m.kind === "vote") becomeFollower(r, m.term, NO_MEMBER);
      return true;
    case "pre-vote-resp":
      // A grant carries the term that was asked about.
      if (m.rejected) becomeFollower(r, m.term, NO_MEMBER);
      return true;
    case "append":
    case "heartbeat":
    case "snapshot":
      becomeFollower(r, m.term, m.from);
      return true;
    default:
      becomeFollower(r, m.term, NO_MEMBER);
      return true;
  }
}

/** A message that only the leader of this term sends: whoever gets it follows (Raft §5.2). */
function stepLeaderMessage(
  r: RaftState,
  m: AppendMessage | HeartbeatMessage | SnapshotMessage,
): void {
  assert(r.role !== "leader", "Two leaders in one term");
  if (r.role !== "follower") becomeFollower(r, r.term, m.from);
  r.electionElapsed = 0;
  r.leader = m.from;
  switch (m.kind) {
    case "append":
      handleAppend(r, m);
      return;
    case "heartbeat":
      handleHeartbeat(r, m);
      return;
    case "snapshot":
      handleSnapshot(r, m);
      return;
    default:
      assertNever(m);
  }
}

function stepRole(r: RaftState, m: Message): void {
  switch (r.role) {
    case "leader":
      stepLeader(r, m);
      return;
    case "pre-candidate":
    case "candidate":
      if (m.kind === "vote-resp" || m.kind === "pre-vote-resp") handleVoteResp(r, m);
      return;
    case "follower":
      if (m.kind === "timeout-now") campaign(r, "transfer");
      else if (m.kind === "read-index-resp") r.readStates.push({ ctx: m.ctx, index: m.index });
      else if (m.kind === "read-index-refused") r.readStates.push({ ctx: m.ctx, index: undefined });
      // The rest is for a leader. It is not passed on: with leadership unsettled it could circle.
      return;
    default:
      assertNever(r.role);
  }
}
