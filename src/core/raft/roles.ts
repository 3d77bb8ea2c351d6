import { assert } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { ReadRounds } from "./read-rounds.ts";
import type { RaftState } from "./state.ts";
import { NO_MEMBER } from "./types.ts";

/**
 * The transitions between roles, all of them:
 *
 *     follower ──timeout──> pre-candidate ──quorum would vote──> candidate ──quorum votes──> leader
 *        │  ^                     │                                 │  ^                        │
 *        │  └──refused, or a leader, or a higher term───────────────┘  │                        │
 *        └──timeout without PreVote, or TimeoutNow─────────────────────┘                        │
 *           ^──────────────higher term, no quorum heard of, removed from the configuration──────┘
 *
 * Invariant: the term never falls; within a term the vote is cast once.
 */

export function becomeFollower(r: RaftState, term: number, leader: MemberId): void {
  reset(r, term);
  r.role = "follower";
  r.leader = leader;
}

/** Asks without raising its term: nothing that must be kept changes. */
export function becomePreCandidate(r: RaftState): void {
  assert(r.role !== "leader", "A leader cannot become pre-candidate");
  r.role = "pre-candidate";
  r.leader = NO_MEMBER;
  r.votes.clear();
  restartElectionTimer(r);
}

export function becomeCandidate(r: RaftState): void {
  assert(r.role !== "leader", "A leader cannot become candidate");
  reset(r, r.term + 1);
  r.role = "candidate";
  r.vote = r.id;
}

/** The caller then appends the empty entry of the new term (Raft §8). */
export function becomeLeader(r: RaftState): void {
  assert(r.role === "candidate", "Only a candidate can become leader");
  reset(r, r.term);
  r.role = "leader";
  r.leader = r.id;
  r.lead = {
    heartbeatElapsed: 0,
    transferee: NO_MEMBER,
    // An unapplied change may be anywhere in the log; the end of it is a safe bound (Raft §6).
    pendingConfIndex: r.log.lastIndex,
    uncommittedBytes: 0,
    committedInTerm: false,
    dirty: true,
    reads: new ReadRounds(),
  };
  const own = r.tracker.own;
  if (own !== undefined) own.match = r.log.saved;
}

export function restartElectionTimer(r: RaftState): void {
  r.electionElapsed = 0;
  r.electionTimeout = undefined;
}

function reset(r: RaftState, term: number): void {
  assert(term >= r.term, "The term would fall");
  if (term !== r.term) {
    r.term = term;
    r.vote = NO_MEMBER;
  }
  r.leader = NO_MEMBER;
  r.lead = undefined;
  r.votes.clear();
  restartElectionTimer(r);
  r.tracker.reset(r.log.lastIndex);
}
