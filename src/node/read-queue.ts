import { CofferError } from "../errors.ts";
import type { ReadResult, ReadState } from "../core/raft/mod.ts";

/** Linearizable reads that wait: one round of raft serves all that asked before it. */

interface WaitingRead {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: CofferError) => void;
}

/** The high bits make a context unlike those of an earlier life of this member. */
const LIFE_SPAN_CONTEXTS = 2 ** 20;

export class ReadQueue {
  readonly #readIndex: (ctx: number) => ReadResult;
  #next: number;
  #asking: WaitingRead[] = [];
  readonly #rounds = new Map<number, readonly WaitingRead[]>();
  /** Confirmed reads that wait for the state machine to get to their index. */
  #confirmed: { readonly index: number; readonly reads: readonly WaitingRead[] }[] = [];

  /** `life` differs between starts of one member, such as the milliseconds of its start. */
  constructor(readIndex: (ctx: number) => ReadResult, life: number) {
    this.#readIndex = readIndex;
    this.#next = (life % 2 ** 32) * LIFE_SPAN_CONTEXTS + 1;
  }

  add(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#asking.push({ deadline, resolve, reject });
    });
  }

  /** Starts one round for all that wait for one. */
  ask(): void {
    if (this.#asking.length === 0) return;
    const ctx = this.#next++;
    const result = this.#readIndex(ctx);
    // Without a leader they stay; one may be elected before their deadline.
    if (result.kind === "refused") return;
    this.#rounds.set(ctx, this.#asking);
    this.#asking = [];
  }

  /** After a change of leader the old rounds get no answer. */
  askAgain(): void {
    for (const reads of this.#rounds.values()) this.#asking.push(...reads);
    this.#rounds.clear();
  }

  /** Takes the rounds that raft confirmed, and answers the reads whose index is applied. */
  answer(states: readonly ReadState[], appliedIndex: number): void {
    for (const { ctx, index } of states) {
      const reads = this.#rounds.get(ctx);
      if (reads === undefined) continue;
      this.#rounds.delete(ctx);
      this.#confirmed.push({ index, reads });
    }
    if (this.#confirmed.length === 0) return;
    this.#confirmed = this.#confirmed.filter(({ index, reads }) => {
      if (index > appliedIndex) return true;
      for (const read of reads) read.resolve();
      return false;
    });
  }

  expire(now: number): void {
    this.#asking = keepLive(this.#asking, now);
    for (const [ctx, reads] of this.#rounds) {
      const live = keepLive(reads, now);
      if (live.length === 0) this.#rounds.delete(ctx);
      else this.#rounds.set(ctx, live);
    }
  }

  failAll(error: CofferError): void {
    const confirmed = this.#confirmed.flatMap(({ reads }) => reads);
    for (const read of [...this.#asking, ...[...this.#rounds.values()].flat(), ...confirmed]) {
      read.reject(error);
    }
    this.#asking = [];
    this.#rounds.clear();
    this.#confirmed = [];
  }
}

function keepLive(reads: readonly WaitingRead[], now: number): WaitingRead[] {
  return reads.filter((read) => {
    if (read.deadline > now) return true;
    read.reject(new CofferError("timeout"));
    return false;
  });
}
