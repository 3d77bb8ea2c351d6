import type {
  ApplyResult,
  ClusterId,
  MemberId,
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
  /** The last index of the log. */
  readonly raftIndex: number;
  readonly appliedIndex: number;
  readonly isLearner: boolean;
}

/** One member's replicated state machine, as the edge uses it. */
export interface Node {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  readonly state: StateReader;
  /**
   * Resolves with what applying the proposal answered, once it is on a quorum's disks and applied
   * here. Rejects with `timeout`, `no-leader`, `leader-changed`, `too-many-requests`, `stopped` or
   * `no-space`; after the first three the outcome is unknown.
   */
  propose(proposal: Proposal): Promise<ApplyResult>;
  /**
   * Makes `state` safe to read linearizably: waits until all that was acknowledged before the call is
   * applied here. `undefined` when that holds already, which spares the caller a turn.
   */
  readIndex(): Promise<void> | undefined;
  openWatch(tenant: TenantId): WatchStream;
  /** The cluster's lease clock in milliseconds: what the deadlines of leases are in. */
  leaseNow(): number;
  /** Calls back after records of a scope changed; returns what ends it. */
  onRecords(listener: RecordListener): () => void;
  status(): NodeStatus;
}

export type RecordListener = (change: {
  readonly scope: TenantId;
  readonly table: RecordTable;
}) => void;
