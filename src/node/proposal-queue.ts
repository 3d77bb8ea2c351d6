import { CofferError } from "../errors.ts";
import { assert } from "../stdx/mod.ts";
import { proposalBytes } from "../wire/mod.ts";
import type { ApplyResult, Proposal } from "../core/types/mod.ts";

/** Proposals on their way: waiting for the next flush, then in an entry of the log. */

/** Proposals that wait or are in flight; past it new ones are refused (etcd: too many requests). */
const PROPOSALS_MAX = 20_000;
/** Bytes of values that wait. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;
/** An entry takes no more proposals past this many bytes. */
const ENTRY_BYTES_SOFT_MAX = 256 * 1024;

interface Waiting {
  readonly proposal: Proposal;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly resolve: (result: ApplyResult) => void;
  readonly reject: (error: CofferError) => void;
}

interface Flight {
  readonly term: number;
  readonly proposals: readonly Proposal[];
  readonly waiting: readonly Waiting[];
}

export class ProposalQueue {
  #pending: Waiting[] = [];
  #pendingBytes = 0;
  /** By index of the entry that holds them. */
  readonly #flights = new Map<number, Flight>();
  #inFlight = 0;

  get size(): number {
    return this.#pending.length + this.#inFlight;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  add(proposal: Proposal, deadline: number): Promise<ApplyResult> {
    const bytes = proposalBytes(proposal);
    if (this.size >= PROPOSALS_MAX || this.#pendingBytes + bytes > PENDING_BYTES_MAX) {
      return Promise.reject(new CofferError("too-many-requests"));
    }
    return new Promise((resolve, reject) => {
      this.#pendingBytes += bytes;
      this.#pending.push({ proposal, bytes, deadline, resolve, reject });
    });
  }

  /** Takes the proposals of one entry. */
  takeBatch(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#pending) {
      if (count > 0 && bytes + waiting.bytes > ENTRY_BYTES_SOFT_MAX) break;
      bytes += waiting.bytes;
      count++;
    }
    this.#pendingBytes -= bytes;
    if (count === this.#pending.length) {
      const all = this.#pending;
      this.#pending = [];
      return all;
    }
    return this.#pending.splice(0, count);
  }

  /** The batch was appended to the log as the entry at `index` in `term`. */
  launched(index: number, term: number, waiting: readonly Waiting[]): void {
    // A new entry at an index in flight has replaced the old one, which can then never be applied.
    this.#lose(index);
    this.#flights.set(index, { term, proposals: waiting.map((one) => one.proposal), waiting });
    this.#inFlight += waiting.length;
  }

  /** The proposals of the entry as they were before encoding, if it is this member's. */
  proposalsOf(index: number, term: number): readonly Proposal[] | undefined {
    const flight = this.#flights.get(index);
    return flight?.term === term ? flight.proposals : undefined;
  }

  /** The entry at `index` was applied. Answers those who wait for it, if it is theirs. */
  landed(index: number, term: number, results: readonly ApplyResult[]): void {
    const flight = this.#flights.get(index);
    if (flight === undefined) return;
    if (flight.term !== term) {
      this.#lose(index);
      return;
    }
    assert(results.length === flight.waiting.length, "Every proposal has one result");
    this.#flights.delete(index);
    this.#inFlight -= flight.waiting.length;
    for (const [i, waiting] of flight.waiting.entries()) {
      const result = results[i];
      if (result !== undefined) waiting.resolve(result);
    }
  }

  /** Refuses all that has not been given to the log. */
  refusePending(error: CofferError): void {
    const pending = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const waiting of pending) waiting.reject(error);
  }

  /** Ends the wait of those past their deadline; what is in the log may still be applied. */
  expire(now: number): void {
    for (const [index, flight] of this.#flights) {
      const late = flight.waiting.length > 0 && flight.waiting.every((one) => one.deadline <= now);
      if (!late) continue;
      for (const waiting of flight.waiting) waiting.reject(new CofferError("timeout"));
      this.#inFlight -= flight.waiting.length;
      this.#flights.delete(index);
    }
  }

  /** Ends every wait. */
  failAll(error: CofferError): void {
    this.refusePending(error);
    for (const flight of this.#flights.values()) {
      for (const waiting of flight.waiting) waiting.reject(error);
    }
    this.#flights.clear();
    this.#inFlight = 0;
  }

  #lose(index: number): void {
    const flight = this.#flights.get(index);
    if (flight === undefined) return;
    this.#flights.delete(index);
    this.#inFlight -= flight.waiting.length;
    for (const waiting of flight.waiting) waiting.reject(new CofferError("leader-changed"));
  }
}

export type { Waiting };
