import type { Prng } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { Log } from "./log.ts";
import type { ReadRounds } from "./read-rounds.ts";
import type { Rules } from "./rules.ts";
import { Tracker } from "./tracker.ts";
import {
  DEFAULT_LIMITS,
  NO_MEMBER,
  type Message,
  type RaftConfig,
  type RaftLimits,
  type ReadState,
  type Role,
  type SaveAck,
} from "./types.ts";

/** What all roles share. Only `roles.ts` changes role, term, vote and leader. */
export interface RaftState {
  readonly id: MemberId;
  readonly rules: Rules;
  readonly random: Prng;
  readonly limits: RaftLimits;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly log: Log;
  readonly tracker: Tracker;

  role: Role;
  term: number;
  /** Cast in this term. */
  vote: MemberId;
  leader: MemberId;
  /** Given while `role` is "leader". */
  lead: LeaderState | undefined;
  /** The answers to this election, of candidates. */
  readonly votes: Map<MemberId, boolean>;

  /** Ticks since the leader was heard of; of a leader, since its last quorum check. */
  electionElapsed: number;
  /** In [electionTicks, 2 x electionTicks); drawn anew for each wait, once it is that long. */
  electionTimeout: number | undefined;

  messages: Message[];
  messagesAfterSave: Message[];
  readStates: ReadState[];
  /** Conf-change entries handed out to apply and not yet put into force. */
  readonly confChangesDue: number[];
  readonly handed: Handed;
}

/** What only a leader has; gone when it steps down. */
export interface LeaderState {
  heartbeatElapsed: number;
  /** The member that leadership is being handed to. */
  transferee: MemberId;
  /** The newest index that may hold a change of members not yet applied. */
  pendingConfIndex: number;
  /** Bytes proposed in this term and not yet handed out to apply. */
  uncommittedBytes: number;
  /** Whether an entry of this term is committed. */
  committedInTerm: boolean;
  /** Whether something happened that may call for messages; they go out with the next Ready. */
  dirty: boolean;
  readonly reads: ReadRounds;
}

/** What the last Ready told, to tell only news. */
export interface Handed {
  term: number;
  vote: MemberId;
  commit: number;
  role: Role;
  roleTerm: number;
  leader: MemberId;
  lastSave: SaveAck | undefined;
  savesRunning: number;
}

export function createState(config: RaftConfig, rules: Rules): RaftState {
  const limits = { ...DEFAULT_LIMITS, ...config.limits };
  const { term, vote, commit } = config.hardState;
  const log = new Log(config.log, {
    commit,
    applied: config.applied,
    cacheBytesMax: limits.cacheBytesMax,
  });
  const tracker = new Tracker(config.id, limits);
  tracker.setConf(config.confState, log.lastIndex + 1);
  return {
    id: config.id,
    rules,
    random: config.random,
    limits,
    electionTicks: config.electionTicks,
    heartbeatTicks: config.heartbeatTicks,
    preVote: config.preVote ?? true,
    checkQuorum: config.checkQuorum ?? true,
    log,
    tracker,
    role: "follower",
    term,
    vote,
    leader: NO_MEMBER,
    lead: undefined,
    votes: new Map(),
    electionElapsed: 0,
    electionTimeout: undefined,
    messages: [],
    messagesAfterSave: [],
    readStates: [],
    confChangesDue: [],
    handed: {
      term,
      vote,
      commit,
      role: "follower",
      roleTerm: term,
      leader: NO_MEMBER,
      lastSave: undefined,
      savesRunning: 0,
    },
  };
}

/**
 * Whether a live leader is known: then votes are refused, so that a member that was cut off or
 * removed cannot disturb the cluster (Raft §6, thesis §4.2.3 and §9.6).
 */
export function hasLiveLeader(r: RaftState): boolean {
  return (
    (r.preVote || r.checkQuorum) && r.leader !== NO_MEMBER && r.electionElapsed < r.electionTicks
  );
}
