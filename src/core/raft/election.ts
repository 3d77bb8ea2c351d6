import { assert } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { send, sendAfterSave } from "./outbox.ts";
import {
  becomeCandidate,
  becomeFollower,
  becomePreCandidate,
  restartElectionTimer,
} from "./roles.ts";
import { hasLiveLeader, type RaftState } from "./state.ts";
import { NO_MEMBER, type VoteMessage, type VoteRespMessage } from "./types.ts";
import type { VoteResult } from "./quorum.ts";

/**
 * Elections (Raft §5.2, PreVote: thesis §9.6), as far as they are the same in all roles: asking for
 * votes, granting them, counting them.
 */

export type Campaign = "pre-vote" | "vote" | "transfer";

/** Asks all voters. Gives the result so far: with a single voter nobody need be waited for. */
export function startCampaign(r: RaftState, campaign: Campaign): VoteResult {
  if (campaign === "pre-vote") {
    becomePreCandidate(r);
    askForVotes(r, campaign);
    return countVote(r, r.id, true);
  }
  becomeCandidate(r);
  askForVotes(r, campaign);
  // The own vote counts when it is saved (`ownVoteSaved`), as any other member's.
  return "pending";
}

export function countVote(r: RaftState, voter: MemberId, granted: boolean): VoteResult {
  if (!r.votes.has(voter)) r.votes.set(voter, granted);
  return r.tracker.voteResult(r.votes);
}

/** Whether this member may start an election now. */
export function mayCampaign(r: RaftState): boolean {
  // The only voter's election waits for nothing but its own disk; another would only begin anew.
  if (r.role === "candidate" && r.tracker.selfIsOnlyVoter) return false;
  return (
    r.role !== "leader" &&
    r.tracker.selfIsVoter &&
    !r.log.hasPendingSnapshot &&
    !hasUnappliedConfChange(r)
  );
}

/**
 * Answers a request for a vote. Learners answer too: one that is a voter by now and does not know
 * it may be the one whose vote is missing (etcd-io/raft campaign_learner_must_vote).
 */
export function handleVote(r: RaftState, m: VoteMessage): void {
  const isPre = m.kind === "pre-vote";
  const mayVote =
    (isPre && m.term > r.term) ||
    // A live leader in the same term is ground enough to refuse; a transfer comes with a new term.
    (!(isPre && hasLiveLeader(r)) && r.rules.mayVote(r.vote, r.leader, m.from));
  const mine = { index: r.log.lastIndex, term: r.log.lastTerm };
  const granted = mayVote && r.rules.isUpToDate(mine, { index: m.lastIndex, term: m.lastTerm });
  const kind = isPre ? "pre-vote-resp" : "vote-resp";
  const base = { kind, from: r.id, to: m.from, ...commitKnown(r) } as const;
  if (!granted) {
    send(r, { ...base, term: r.term, rejected: true });
  } else if (isPre) {
    // The term asked about, which is not this member's: nothing is promised.
    send(r, { ...base, term: m.term, rejected: false });
  } else {
    r.vote = m.from;
    restartElectionTimer(r);
    sendAfterSave(r, { ...base, term: r.term, rejected: false });
  }
  learnCommit(r, m);
}

/** Refuses a pre-vote for a term that is over. */
export function refuseVote(r: RaftState, m: VoteMessage): void {
  const to = m.from;
  const base = { kind: "pre-vote-resp", from: r.id, to, term: r.term } as const;
  send(r, { ...base, ...commitKnown(r), rejected: true });
}

/**
 * Takes over what the other side of an election knows to be committed, as far as it is in this log
 * too. A candidate that learns of a change of members so must apply it before it goes on.
 */
export function learnCommit(r: RaftState, m: VoteMessage | VoteRespMessage): void {
  if (r.lead !== undefined || m.commit <= r.log.commit) return;
  if (!r.log.matches(m.commit, m.commitTerm)) return;
  r.log.commitTo(m.commit);
  if (r.role !== "follower" && hasUnappliedConfChange(r)) becomeFollower(r, r.term, NO_MEMBER);
}

function commitKnown(r: RaftState): { commit: number; commitTerm: number } {
  const { commit } = r.log;
  const commitTerm = r.log.term(commit);
  assert(commitTerm !== undefined, "The term of the last committed entry is not known");
  return { commit, commitTerm };
}

function askForVotes(r: RaftState, campaign: Campaign): void {
  const isPre = campaign === "pre-vote";
  for (const peer of r.tracker.peers) {
    if (!r.tracker.isVoter(peer.id)) continue;
    const message: VoteMessage = {
      kind: isPre ? "pre-vote" : "vote",
      from: r.id,
      to: peer.id,
      term: isPre ? r.term + 1 : r.term,
      lastIndex: r.log.lastIndex,
      lastTerm: r.log.lastTerm,
      transfer: campaign === "transfer",
      ...commitKnown(r),
    };
    // A real request names a log and a term that must outlive a crash: else an answer to it could
    // be counted for a second, shorter log in the same term.
    if (isPre) send(r, message);
    else sendAfterSave(r, message);
  }
}

/**
 * A committed change of members that is not in force here yet: an election by the old configuration
 * could be won beside one by the new (Raft §6). Read in slices; rare and short.
 */
function hasUnappliedConfChange(r: RaftState): boolean {
  let lo = r.log.applied + 1;
  while (lo <= r.log.commit) {
    const entries = r.log.entries(lo, r.log.commit + 1, r.limits.applyBytesMax);
    if (entries === undefined) return false;
    if (entries.some((entry) => entry.kind === "conf-change")) return true;
    lo += entries.length;
  }
  return false;
}
