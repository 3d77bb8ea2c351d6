import type { ErrorCode } from "../errors.ts";
import type { PeerStatus, ProgressState, Role } from "../core/raft/mod.ts";
import type {
  Actor,
  ApplyResult,
  ClusterId,
  MemberChange,
  MemberId,
  MemberReport,
  Proposal,
  RecordTable,
  StateReader,
  TenantId,
} from "../core/types/mod.ts";
import type { WatchStream } from "../core/watch/mod.ts";

export interface NodeStatus {
  readonly term: number;
  /** 0n: none known. */
  readonly leader: MemberId;
  readonly role: Role;
  /** The last index of the log. */
  readonly raftIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly isLearner: boolean;
  /** Who leadership is being handed to; 0n: nobody. */
  readonly leadTransferee: MemberId;
  /** Of a leader; empty otherwise. */
  readonly peers: readonly PeerStatus[];
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /** This member was removed from the cluster. */
  readonly removed: boolean;
  /** Why it takes no writes for now: `no-space`. */
  readonly blocked: ErrorCode | undefined;
}

/** A member of the configuration, as seen from here. */
export interface FleetMember {
  readonly id: MemberId;
  /** "" if it is not known. */
  readonly name: string;
  readonly isLearner: boolean;
  /** What it says of itself; `undefined` if it did not answer in time. */
  readonly report: MemberReport | undefined;
  /** Milliseconds until that answer; 0 of this member. */
  readonly roundTripMs: number | undefined;
  /** What the leader knows it to have saved, if this member leads. */
  readonly match: number | undefined;
  readonly state: ProgressState | undefined;
}

/** One member's replicated state machine, as the edge uses it. */
export interface Node {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  readonly state: StateReader;
  /**
   * Resolves with what applying the proposal answered, once it is on a quorum's disks and applied
   * here. Waits while there is no leader; it is never applied twice, whoever leads meanwhile. Rejects
   * with `timeout`, `timeout-leader-failure` or `timeout-connection-lost`, after which the outcome is
   * unknown; with `too-many-requests` or `no-space`, when it was not proposed; or with `stopped`.
   */
  propose(proposal: Proposal): Promise<ApplyResult>;
  /**
   * Makes `state` safe to read linearizably: waits until all that was acknowledged before the call is
   * applied here. `undefined` when that holds already, which spares the caller a turn. Rejects with
   * the timeouts of `propose`, `no-space` or `stopped`.
   */
  readIndex(): Promise<void> | undefined;
  openWatch(tenant: TenantId): WatchStream;
  /** The cluster's lease clock in milliseconds: what the deadlines of leases are in. */
  leaseNow(): number;
  /** Calls back after records of a scope changed; returns what ends it. */
  onRecords(listener: RecordListener): () => void;
  /**
   * Calls back after a tenant was renamed, suspended or resumed, or got other limits or another
   * compaction; `state` tells which. Also for every tenant after all of the state was replaced.
   * Returns what ends it.
   */
  onTenantChanged(listener: (tenant: TenantId) => void): () => void;
  /**
   * Calls back after all of the state was replaced, as a member far behind gets it; the record
   * listeners have been called for every table. Returns what ends it.
   */
  onStateReplaced(listener: () => void): () => void;
  /**
   * Changes the members, from whichever member it is asked. Resolves once the change is applied here.
   * Rejects with etcd's refusals (`member-not-found`, `member-exists`, `peer-url-exists`,
   * `member-bad-urls`, `member-not-learner`, `learner-not-ready`, `too-many-learners`,
   * `not-enough-started-members`, `unhealthy-cluster`), and as `propose`.
   */
  changeMembers(change: MemberChange, actor: Actor): Promise<void>;
  /**
   * Resolves when `to` leads. Rejects with `not-leader`, `bad-leader-transferee` or
   * `timeout-leader-transfer`.
   */
  moveLeader(to: MemberId): Promise<void>;
  /**
   * Hands leadership to the member best able to take it, before this one stops. True if this member
   * does not lead any more, within an election timeout.
   */
  transferLeadership(): Promise<boolean>;
  /** Asks every member of the configuration how it is; within an election timeout. */
  fleetStatus(): Promise<readonly FleetMember[]>;
  /** Calls back when another member leads (0n: none is known); returns what ends it. */
  onLeadership(listener: (leader: MemberId) => void): () => void;
  /** What of `status` each request asks for, without making the rest. */
  readonly term: number;
  /** 0n: none known. */
  readonly leader: MemberId;
  readonly isLearner: boolean;
  status(): NodeStatus;
}

export type RecordListener = (change: {
  readonly scope: TenantId;
  readonly table: RecordTable;
  /** Which of its records; undefined: any of them. */
  readonly ids?: readonly string[];
}) => void;
