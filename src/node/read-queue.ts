import { CofferError } from "../errors.ts";
import type { ReadResult, ReadState } from "../core/raft/mod.ts";

/** Linearizable reads that wait: one round of raft serves all that asked before it. */

interface WaitingRead {
  /** Milliseconds of this member's clock. */
  readonly since: number;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: CofferError) => void;
}

interface Round {
  readonly reads: readonly WaitingRead[];
  readonly askedAt: number;
}

/** The high bits make a context unlike those of an earlier life of this member. */
const LIFE_SPAN_CONTEXTS = 2 ** 20;

/** Reads that wait, without a leader for seconds; past it new ones are refused, like proposals. */
export const READS_MAX = 20_000;

export class ReadQueue {
  readonly #readIndex: (ctx: number) => ReadResult;
  #next: number;
  #count = 0;
  #asking: WaitingRead[] = [];
  readonly #rounds = new Map<number, Round>();
  /** Confirmed reads that wait for the state machine to get to their index. */
  #confirmed: { readonly index: number; readonly reads: readonly WaitingRead[] }[] = [];

  /** `life` differs between starts of one member, such as the milliseconds of its start. */
  constructor(readIndex: (ctx: number) => ReadResult, life: number) {
    this.#readIndex = readIndex;
    this.#next = (life % 2 ** 32) * LIFE_SPAN_CONTEXTS + 1;
  }

  add(times: { readonly since: number; readonly deadline: number }): Promise<void> {
    if (this.#count >= READS_MAX) return Promise.reject(new CofferError("too-many-requests"));
    this.#count++;
    return new Promise<void>((resolve, reject) => {
      this.#asking.push({ ...times, resolve, reject });
    }).finally(() => {
      this.#count--;
    });
  }

  /** Starts one round for all that wait for one. */
  ask(now: number): void {
    if (this.#asking.length === 0) return;
    const ctx = this.#next++;
    const result = this.#readIndex(ctx);
    if (result.kind === "refused") {
      // Without a leader they stay; one may be elected before their deadline.
      if (result.code === "too-many-requests") this.#refuseAsking(new CofferError(result.code));
      return;
    }
    this.#rounds.set(ctx, { reads: this.#asking, askedAt: now });
    this.#asking = [];
  }

  /**
   * Rounds asked for before `before` are asked for anew: the question or its answer may be lost, and
   * after a change of leader nobody knows of it.
   */
  askAgain(before: number): void {
    for (const [ctx, round] of this.#rounds) {
      if (round.askedAt > before) continue;
      this.#rounds.delete(ctx);
      this.#asking.push(...round.reads);
    }
  }

  /** Takes the rounds that raft confirmed, and ends those that the leader refuses. */
  confirm(states: readonly ReadState[]): void {
    for (const { ctx, index } of states) {
      const round = this.#rounds.get(ctx);
      if (round === undefined) continue;
      this.#rounds.delete(ctx);
      if (index !== undefined) this.#confirmed.push({ index, reads: round.reads });
      else refuse(round.reads, new CofferError("too-many-requests"));
    }
  }

  /** Answers the reads whose index is applied. */
  answer(appliedIndex: number): void {
    if (this.#confirmed.length === 0) return;
    this.#confirmed = this.#confirmed.filter(({ index, reads }) => {
      if (index > appliedIndex) return true;
      for (const read of reads) read.resolve();
      return false;
    });
  }

  /** Refuses the confirmed reads that the state machine cannot come to for now. */
  refuseConfirmed(error: CofferError): void {
    const confirmed = this.#confirmed;
    this.#confirmed = [];
    for (const { reads } of confirmed) refuse(reads, error);
  }

  #refuseAsking(error: CofferError): void {
    const asking = this.#asking;
    this.#asking = [];
    refuse(asking, error);
  }

  /** Ends those whose time is over; answers how many. */
  expire(now: number, errorOf: (since: number) => CofferError): number {
    let expired = 0;
    const live = (reads: readonly WaitingRead[]): WaitingRead[] =>
      reads.filter((read) => {
        if (read.deadline > now) return true;
        read.reject(errorOf(read.since));
        expired++;
        return false;
      });
    if (this.#asking.length > 0) this.#asking = live(this.#asking);
    for (const [ctx, round] of this.#rounds) {
      const reads = live(round.reads);
      if (reads.length === 0) this.#rounds.delete(ctx);
      else this.#rounds.set(ctx, { ...round, reads });
    }
    this.#confirmed = this.#confirmed
      .map(({ index, reads }) => ({ index, reads: live(reads) }))
      .filter(({ reads }) => reads.length > 0);
    return expired;
  }

  failAll(error: CofferError): void {
    const rounds = [...this.#rounds.values()].flatMap(({ reads }) => reads);
    const confirmed = this.#confirmed.flatMap(({ reads }) => reads);
    refuse([...this.#asking, ...rounds, ...confirmed], error);
    this.#asking = [];
    this.#rounds.clear();
    this.#confirmed = [];
  }
}

function refuse(reads: readonly WaitingRead[], error: CofferError): void {
  for (const read of reads) read.reject(error);
}
