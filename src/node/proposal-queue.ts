import { CofferError, type ErrorCode } from "../errors.ts";
import { assert } from "../stdx/mod.ts";
import { proposalBytes } from "../wire/mod.ts";
import type { ApplyResult, Proposal } from "../core/types/mod.ts";
import type { BatchName, BatchNumbers } from "./batch-numbers.ts";
import { NODE_RULES, type NodeRules } from "./rules.ts";

/**
 * Proposals on their way: waiting to be given to the log, then in flight in a batch of an entry.
 *
 *     pending ──given to the log──> in flight ──its entry is applied──> answered
 *        ^                              │
 *        └── certainly not in the log ──┘
 *
 * A batch that was given out in a term can only be in an entry of that term. Terms never fall along
 * the log, so once an entry of a later term is applied and the batch was not, it never will be
 * (Raft §5.3): only then is it given out again, and so no proposal is ever applied twice.
 */

/** Proposals that wait or are in flight; past it new ones are refused (etcd: too many requests). */
const PROPOSALS_MAX = 20_000;
/** Bytes of proposals that wait or are in flight. */
const BYTES_MAX = 64 * 1024 * 1024;
/** An entry takes no more proposals past this many bytes. */
const ENTRY_BYTES_SOFT_MAX = 256 * 1024;

export interface Waiting {
  readonly proposal: Proposal;
  readonly bytes: number;
  /** Milliseconds of this member's clock. */
  readonly since: number;
  readonly deadline: number;
  readonly resolve: (result: ApplyResult) => void;
  readonly reject: (error: CofferError) => void;
}

/** A batch that was given to the log. */
interface Flight {
  readonly term: number;
  readonly proposals: readonly Proposal[];
  readonly waiting: readonly Waiting[];
  /** The encoded batch, where another member leads: it may have to be sent again. */
  readonly forwarded: Uint8Array | undefined;
  sentAt: number;
  /** What happens when it is certainly not in the log. */
  readonly whenLost: "again" | "fail";
  /** A snapshot was installed meanwhile: it may be in there, unseen. */
  isUncertain: boolean;
}

export class ProposalQueue {
  readonly #numbers: BatchNumbers;
  readonly #rules: NodeRules;
  #pending: Waiting[] = [];
  #bytes = 0;
  /** By the batch's number, ascending. */
  readonly #flights = new Map<number, Flight>();
  #inFlight = 0;
  /** The term of the last entry applied. */
  #appliedTerm = 0;

  constructor(numbers: BatchNumbers, rules: NodeRules = NODE_RULES) {
    this.#numbers = numbers;
    this.#rules = rules;
  }

  get size(): number {
    return this.#pending.length + this.#inFlight;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  add(
    proposal: Proposal,
    times: { readonly since: number; readonly deadline: number },
  ): Promise<ApplyResult> {
    const bytes = proposalBytes(proposal);
    if (this.size >= PROPOSALS_MAX || (this.#bytes > 0 && this.#bytes + bytes > BYTES_MAX)) {
      return Promise.reject(new CofferError("too-many-requests"));
    }
    return new Promise((resolve, reject) => {
      this.#bytes += bytes;
      this.#pending.push({ proposal, bytes, ...times, resolve, reject });
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
    if (count < this.#pending.length) return this.#pending.splice(0, count);
    const all = this.#pending;
    this.#pending = [];
    return all;
  }

  /** Puts what was taken and not given to the log back in front. */
  putBack(batch: readonly Waiting[]): void {
    this.#pending = [...batch, ...this.#pending];
  }

  /** What was taken will not go on: the caller has answered it. */
  drop(batch: readonly Waiting[]): void {
    for (const { bytes } of batch) this.#bytes -= bytes;
  }

  /** The next batch's number, and its name in a header. */
  nextNumber(): { readonly number: number; readonly name: BatchName } {
    const number = this.#numbers.take();
    return { number, name: this.#numbers.nameOf(number) };
  }

  /** The batch was given to the log, or sent to the leader, in `term`. */
  launched(
    number: number,
    waiting: readonly Waiting[],
    how: {
      readonly term: number;
      readonly now: number;
      readonly forwarded?: Uint8Array;
      readonly whenLost?: "again" | "fail";
    },
  ): void {
    this.#flights.set(number, {
      term: how.term,
      proposals: waiting.map((one) => one.proposal),
      waiting,
      forwarded: how.forwarded,
      sentAt: how.now,
      whenLost: how.whenLost ?? "again",
      isUncertain: false,
    });
    this.#inFlight += waiting.length;
  }

  /** The proposals of a batch as they were before encoding, if it is of this life and in flight. */
  proposalsOf(name: BatchName): readonly Proposal[] | undefined {
    return this.#find(name)?.flight.proposals;
  }

  /** The entry that holds the batch was applied. Answers those who wait for it. */
  landed(name: BatchName, results: readonly ApplyResult[]): void {
    const found = this.#find(name);
    if (found === undefined) return;
    const { number, flight } = found;
    this.#remove(number, flight);
    this.drop(flight.waiting);
    assert(results.length === flight.waiting.length, "Every proposal has one result");
    for (const [i, waiting] of flight.waiting.entries()) {
      const result = results[i];
      if (result !== undefined) waiting.resolve(result);
    }
  }

  /** The entry that holds the batch, a change of members, was applied and did not come about. */
  passedOver(name: BatchName): void {
    const found = this.#find(name);
    if (found === undefined) return;
    this.#remove(found.number, found.flight);
    this.#end(found.flight, "conflict");
  }

  /**
   * An entry of `term` was applied: batches of earlier terms that have not landed never will. They
   * are given to the log again.
   */
  settle(term: number): void {
    if (term <= this.#appliedTerm) return;
    this.#appliedTerm = term;
    const again: Waiting[] = [];
    for (const [number, flight] of this.#flights) {
      if (!this.#rules.isLost(flight.term, term)) continue;
      this.#remove(number, flight);
      if (flight.isUncertain) this.#end(flight, "timeout");
      else if (flight.whenLost === "fail") this.#end(flight, "leader-changed");
      else again.push(...flight.waiting);
    }
    if (again.length > 0) this.putBack(again);
  }

  /** State came by a snapshot, whose entries nobody saw: what is in flight may be among them. */
  stateReplaced(): void {
    for (const flight of this.#flights.values()) flight.isUncertain = true;
  }

  /** The leader of `term` has refused the batch, and will never take it. */
  refused(name: BatchName, refusal: { readonly term: number; readonly code: ErrorCode }): void {
    const found = this.#find(name);
    if (found === undefined || found.flight.term !== refusal.term) return;
    const { number, flight } = found;
    if (flight.forwarded === undefined) return;
    this.#remove(number, flight);
    if (mayTryAgain(refusal.code)) this.putBack(flight.waiting);
    else this.#end(flight, refusal.code);
  }

  /** Forwarded batches of `term` that were last sent before `before`; they count as sent `now`. */
  takeUnanswered(
    term: number,
    times: { readonly before: number; readonly now: number },
  ): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const flight of this.#flights.values()) {
      const { forwarded } = flight;
      if (forwarded === undefined || flight.term !== term || flight.sentAt > times.before) continue;
      if (flight.isUncertain) continue;
      flight.sentAt = times.now;
      found.push(forwarded);
    }
    return found;
  }

  /**
   * Ends the wait of those past their deadline, and returns how many; what is in the log may still be
   * applied.
   */
  expire(now: number, errorOf: (since: number) => CofferError): number {
    let count = 0;
    const expired = ({ deadline }: Waiting): boolean => deadline <= now;
    // Deadlines ascend but for what was put back, so the first ones tell.
    if (this.#pending.some(expired)) {
      const late = this.#pending.filter(expired);
      this.#pending = this.#pending.filter((waiting) => !expired(waiting));
      this.drop(late);
      for (const waiting of late) waiting.reject(errorOf(waiting.since));
      count += late.length;
    }
    for (const [number, flight] of this.#flights) {
      if (!flight.waiting.every(expired)) continue;
      // Nobody waits for it any more, so it need not be known where it lands.
      this.#remove(number, flight);
      this.drop(flight.waiting);
      for (const waiting of flight.waiting) waiting.reject(errorOf(waiting.since));
      count += flight.waiting.length;
    }
    return count;
  }

  /** Refuses all that has not been given to the log. */
  refusePending(error: CofferError): void {
    const pending = this.#pending;
    this.#pending = [];
    this.drop(pending);
    for (const waiting of pending) waiting.reject(error);
  }

  /** Ends every wait. */
  failAll(error: CofferError): void {
    this.refusePending(error);
    for (const flight of this.#flights.values()) {
      for (const waiting of flight.waiting) waiting.reject(error);
    }
    this.#flights.clear();
    this.#inFlight = 0;
    this.#bytes = 0;
  }

  #find(name: BatchName): { readonly number: number; readonly flight: Flight } | undefined {
    const number = this.#numbers.numberOf(name);
    if (number === undefined) return undefined;
    const flight = this.#flights.get(number);
    return flight === undefined ? undefined : { number, flight };
  }

  #remove(number: number, flight: Flight): void {
    this.#flights.delete(number);
    this.#inFlight -= flight.waiting.length;
  }

  #end(flight: Flight, code: ErrorCode): void {
    this.drop(flight.waiting);
    for (const waiting of flight.waiting) waiting.reject(new CofferError(code));
  }
}

/** Refusals that another leader, or the same one a little later, may not repeat. */
function mayTryAgain(code: ErrorCode): boolean {
  return code === "leader-changed" || code === "no-leader" || code === "not-leader";
}
