import type { MemberId } from "../types/mod.ts";
import { NO_MEMBER, type SaveAck } from "./types.ts";

/**
 * The conditions that the safety proof of Raft rests on, each by itself and with its source. All
 * else in this room is about progress. They are one value so that the tests can break one at a time
 * and see that the checks of the simulation notice; production code always runs RULES.
 */
export interface Rules {
  /** One vote per term, and none against a leader that is known (Raft §5.2). */
  mayVote(vote: MemberId, leader: MemberId, candidate: MemberId): boolean;
  /** Only a candidate whose log is at least as up to date as the voter's is voted for (§5.4.1). */
  isUpToDate(mine: LogEnd, candidates: LogEnd): boolean;
  /** Entries are taken only behind one that agrees in index and term (§5.3). */
  prevAgrees(mine: number | undefined, prevTerm: number): boolean;
  /** A leader counts only entries of its own term; older ones are committed with them (§5.4.2). */
  mayCommit(entryTerm: number | undefined, term: number): boolean;
  /** A heartbeat tells of a commit only as far as the peer's log is known to agree (§5.3). */
  commitFor(match: number, commit: number): number;
  /** A leader may answer reads once it has committed an entry of its own term (thesis §6.4). */
  mayRead(committedInTerm: boolean): boolean;
  /** A read is answered once a quorum has acknowledged a heartbeat sent after it came (§6.4). */
  roundAcknowledged(round: number, quorumRound: number): boolean;
  /** An acknowledgement of a save counts only in the term it was handed out in (the ABA race). */
  saveCounts(ack: SaveAck, term: number): boolean;
  /** One change of members at a time: the one before must have been applied (§6). */
  mayChangeConf(pendingConfIndex: number, applied: number): boolean;
  /** A message of an older term changes nothing (§5.1). */
  isStale(messageTerm: number, term: number): boolean;
}

export interface LogEnd {
  readonly index: number;
  readonly term: number;
}

export const RULES: Rules = {
  mayVote: (vote, leader, candidate) =>
    vote === candidate || (vote === NO_MEMBER && leader === NO_MEMBER),
  isUpToDate: (mine, candidates) =>
    candidates.term > mine.term ||
    (candidates.term === mine.term && candidates.index >= mine.index),
  prevAgrees: (mine, prevTerm) => mine === prevTerm,
  mayCommit: (entryTerm, term) => entryTerm === term,
  commitFor: (match, commit) => Math.min(match, commit),
  mayRead: (committedInTerm) => committedInTerm,
  roundAcknowledged: (round, quorumRound) => round <= quorumRound,
  saveCounts: (ack, term) => ack.term === term,
  mayChangeConf: (pendingConfIndex, applied) => pendingConfIndex <= applied,
  isStale: (messageTerm, term) => messageTerm < term,
};
