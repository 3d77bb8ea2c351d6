import type { Entry, HardState, LogReader, Message } from "../core/raft/mod.ts";
import type { Fsm } from "../core/fsm/mod.ts";

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
  | "reader"
  | "watchSource"
  | "expiredLeases"
  | "compactStep"
>;

/** Frames to other members. A cluster of one has none. */
export interface PeerSender {
  send(messages: readonly Message[]): void;
}

/** What the node tells of itself; every call is cheap. */
export interface NodeObserver {
  proposed(count: number): void;
  applied(index: number, count: number): void;
  leadership(change: { readonly leader: bigint; readonly isLeader: boolean }): void;
  pending(count: number): void;
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
}
