import type { AppliedBatch, CommittedEntry, Fsm } from "../core/fsm/mod.ts";
import type { Entry, HardState, LogReader } from "../core/raft/mod.ts";

/** What the node needs of the rooms below main; the simulator hands it fakes. */

/** The durable log. */
export interface LogStore extends LogReader {
  readonly hardState: HardState;
  /**
   * Saves in one transaction that is on the disk when it returns. What was at or after the first
   * entry's index is replaced. Throws `no-space` when the disk is full; nothing is saved then.
   */
  save(batch: {
    readonly hardState: HardState | undefined;
    readonly entries: readonly Entry[];
  }): void;
  /** Forgets the entries up to `index`, which stays the base that terms are known from. */
  compact(index: number): void;
}

/** The replicated state, as far as the node drives it. */
export type StateMachine = Pick<
  Fsm,
  | "appliedIndex"
  | "leaseTime"
  | "apply"
  | "flush"
  | "reload"
  | "reader"
  | "watchSource"
  | "expiredLeases"
  | "nextLeaseDeadline"
  | "compactStep"
>;

/** Consensus, requests of one member to another, and state for those far behind. */
export type Channel = "raft" | "fwd" | "snap";

/** Messages to other members: in order per peer and channel, at most once, perhaps never. */
export interface Peers {
  /** False if it was dropped at once (not connected, queue over its bound). Never throws. */
  send(to: string, channel: Channel, payload: Uint8Array): boolean;
  /** Calls back, never at once, when what was sent so far is in the hands of the operating system. */
  afterSends(work: () => void): void;
}

/** What the node tells of itself; every call is cheap. */
export interface NodeObserver {
  proposed(count: number): void;
  /** These entries, for the first time, in `milliseconds`; `results` one per entry, in it one per proposal. */
  applied(
    entries: readonly CommittedEntry[],
    results: AppliedBatch["results"],
    milliseconds: number,
  ): void;
  leadership(change: { readonly leader: bigint; readonly isLeader: boolean }): void;
  pending(count: number): void;
  /** Proposals whose time was over before they were answered. */
  proposalsFailed(count: number): void;
  /** Linearizable reads whose time was over before they could be answered. */
  readsFailed(count: number): void;
  /** A heartbeat was dropped before it left. */
  heartbeatFailed(): void;
  /** The snapshot for the member was delivered, or given up. */
  snapshotSent(to: string, delivered: boolean): void;
}

export interface NodeTimes {
  /** Milliseconds. */
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  /** Between periodic progress notifications of a watch. */
  readonly progressIntervalMs: number;
}

export interface NodeStorage {
  /**
   * Makes the applied state durable off the event loop and answers the applied index that a crash
   * cannot take any more.
   */
  checkpoint(): Promise<number>;
  /** Whether work that can wait should, as the disk is busy with the state. Never unless given. */
  readonly isBusy?: () => boolean;
  /** Whether what can be removed had better be, as the room for the state comes to an end. Never unless given. */
  readonly isFilling?: () => boolean;
}
