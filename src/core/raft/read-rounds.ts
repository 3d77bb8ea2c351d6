import type { MemberId } from "../types/mod.ts";

/** A read that a member asked the leader for. */
export interface PendingRead {
  readonly from: MemberId;
  readonly ctx: number;
}

export interface FinishedRound {
  readonly index: number;
  readonly reads: readonly PendingRead[];
}

interface Round extends FinishedRound {
  readonly round: number;
}

/**
 * The leader's reads in rounds (Raft thesis §6.4). A round is a number that heartbeats carry; all
 * reads that came before it began are answered with it. Numbers are counted from 1 in each term of
 * a leader and never used again, so an answer to an old round cannot confirm a new one
 * (etcd-io/raft #397).
 */
export class ReadRounds {
  #newest = 0;
  #waiting: PendingRead[] = [];
  #running: Round[] = [];
  #count = 0;

  /** The newest round begun; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Reads not answered yet. */
  get count(): number {
    return this.#count;
  }

  /** Whether a round should begin. Few run at once: reads that come meanwhile share the next. */
  get isDue(): boolean {
    return this.#waiting.length > 0 && this.#running.length < ROUNDS_RUNNING_MAX;
  }

  add(read: PendingRead): void {
    this.#waiting.push(read);
    this.#count++;
  }

  /** Begins a round for all that wait; `commit` is the leader's commit index now. */
  begin(commit: number): number {
    this.#newest++;
    this.#running.push({ round: this.#newest, index: commit, reads: this.#waiting });
    this.#waiting = [];
    return this.#newest;
  }

  /** Ends the oldest running round if `isAcknowledged` says so of its number. */
  finish(isAcknowledged: (round: number) => boolean): FinishedRound | undefined {
    const oldest = this.#running[0];
    if (oldest === undefined || !isAcknowledged(oldest.round)) return undefined;
    this.#running.shift();
    this.#count -= oldest.reads.length;
    return oldest;
  }
}

const ROUNDS_RUNNING_MAX = 4;
