import { CofferError, type ErrorCode } from "../errors.ts";
import type { LeaseClock } from "../core/lease/mod.ts";
import { NO_MEMBER, type Raft } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type BatchHeader, decodeHeader, encodeForward } from "../wire/mod.ts";
import type { BatchName } from "./batch-numbers.ts";
import { encodeBatch } from "./encode-batch.ts";
import type { ProposalQueue } from "./proposal-queue.ts";
import type { NodeRules } from "./rules.ts";
import { SeenWindow } from "./seen-window.ts";

/**
 * Brings proposals into the log: the leader appends its own, every other member sends them to the
 * leader. A forwarded batch names the term that its sender believes in, and only the leader of that
 * term takes it, once; so its sender knows from the terms of applied entries when it is lost for good.
 */

/** Batches that may wait for a new leader to have applied what leaders before it have committed. */
const EARLY_MAX = 4096;
/** Lives of one member whose batches the leader keeps apart in one term. */
const LIVES_MAX = 16;

export interface ProposerDeps {
  readonly self: MemberId;
  readonly raft: Raft;
  readonly queue: ProposalQueue;
  readonly clock: Clock;
  readonly leaseClock: LeaseClock;
  readonly rules: NodeRules;
  readonly logger: Logger;
  /** Milliseconds after which a batch without an answer is sent again. */
  readonly resendMs: number;
  /** Milliseconds to wait before asking a leader again that has refused. */
  readonly retryMs: number;
  /** False: not sent, nor will it be. */
  send(to: MemberId, payload: Uint8Array): boolean;
  /** Whether this member leads, and has applied all that leaders before it have committed. */
  isReady(): boolean;
  /** Why this member takes no writes for now. */
  blocked(): ErrorCode | undefined;
  onProposed(count: number): void;
}

export interface ForwardedBatch {
  readonly term: number;
  readonly data: Uint8Array;
}

export class Proposer {
  readonly #deps: ProposerDeps;
  /** By member and life, of this term as leader. */
  readonly #windows = new Map<MemberId, Map<number, SeenWindow>>();
  #windowsTerm = 0;
  /** What came while this member was not ready to lead. */
  #early: { readonly from: MemberId; readonly batch: ForwardedBatch }[] = [];
  /** Until when nothing is sent to a leader that has refused; in the term that it leads. */
  #refused = { term: 0, until: 0 };

  constructor(deps: ProposerDeps) {
    this.#deps = deps;
  }

  /** Gives the log, or the leader, what has been proposed. What cannot go now stays. */
  launch(): void {
    const { queue, raft, clock, isReady } = this.#deps;
    if (raft.role === "leader") {
      // Its clock is not the cluster's before: what the last leader granted may not be applied here.
      if (!isReady()) return;
      this.#takeEarly();
      while (queue.hasPending && this.#append());
      return;
    }
    if (!queue.hasPending) return;
    const isRefused = this.#refused.term === raft.term && clock.now() < this.#refused.until;
    if (raft.leader === NO_MEMBER || isRefused) return;
    while (queue.hasPending && this.#forward(raft.leader));
  }

  /** Sends what the leader of this term has not answered for so long that it may be lost. */
  resend(now: number): void {
    const { queue, raft, resendMs } = this.#deps;
    if (raft.role === "leader" || raft.leader === NO_MEMBER) return;
    const times = { before: now - resendMs, now };
    for (const data of queue.takeUnanswered(raft.term, times)) this.#send(raft.leader, data);
  }

  /** A header for what this member, as leader, appends now. */
  header(name: BatchName): BatchHeader {
    const { self, raft, clock, leaseClock } = this.#deps;
    const time = clock.now();
    // A follower's times are in the place of those that the leader sets.
    const leaseTime = raft.role === "leader" ? leaseClock.stamp(time) : leaseClock.read(time);
    return { time, leaseTime, origin: self, ...name };
  }

  /** Another member's batch. What it was refused for goes back to it. */
  take(from: MemberId, batch: ForwardedBatch): void {
    const { raft, rules, isReady } = this.#deps;
    // Only the leader that was meant may answer at all: another one knows nothing of the batch.
    if (raft.role !== "leader" || !rules.takes(batch.term, raft.term)) return;
    // What cannot be read is refused while its sender is at hand: later nobody would expect it.
    const { origin, life, seq } = decodeHeader(batch.data);
    if (origin !== from) {
      this.#deps.logger.warn("Batch of proposals dropped: it is not its sender's own", {
        from: from.toString(16),
        origin: origin.toString(16),
      });
      return;
    }
    if (!isReady()) {
      if (this.#early.length < EARLY_MAX) this.#early.push({ from, batch });
      return;
    }
    const window = this.#windowOf(from, life);
    const seen = window.look(seq);
    if (seen === "taken" || seen === "too-old") return;
    const code = seen === "refused" ? "leader-changed" : this.#appendForwarded(batch.data);
    if (seen === "new") window.note(seq, code === undefined ? "taken" : "refused");
    if (code === undefined) return;
    const refusal = { kind: "propose-refused", term: batch.term, life, seq, code } as const;
    this.#deps.send(from, encodeForward(refusal));
  }

  /** The leader will never take the batch. */
  refused(
    from: MemberId,
    refusal: BatchName & { readonly term: number; readonly code: ErrorCode },
  ): void {
    const { queue, raft, clock, retryMs } = this.#deps;
    if (refusal.term === raft.term && from === raft.leader) {
      this.#refused = { term: refusal.term, until: clock.now() + retryMs };
    }
    queue.refused(refusal, refusal);
  }

  #takeEarly(): void {
    if (this.#early.length === 0) return;
    const early = this.#early;
    this.#early = [];
    for (const { from, batch } of early) this.take(from, batch);
  }

  /** Appends one batch of this member's own. False if the log takes nothing for now. */
  #append(): boolean {
    const { queue, raft, clock, onProposed } = this.#deps;
    const taken = queue.takeBatch();
    const { number, name } = queue.nextNumber();
    const { data, good, bad } = encodeBatch(this.header(name), taken);
    queue.drop(bad);
    if (good.length === 0) return true;
    const result = raft.propose(data);
    if (result.kind === "appended") {
      queue.launched(number, good, { term: result.term, now: clock.now() });
      onProposed(good.length);
      return true;
    }
    if (result.kind === "refused" && result.code === "too-many-requests") {
      queue.drop(good);
      for (const waiting of good) waiting.reject(new CofferError(result.code));
      return true;
    }
    queue.putBack(good);
    return false;
  }

  #forward(leader: MemberId): boolean {
    const { queue, raft, clock, onProposed } = this.#deps;
    const taken = queue.takeBatch();
    const { number, name } = queue.nextNumber();
    const { data, good, bad } = encodeBatch(this.header(name), taken);
    queue.drop(bad);
    if (good.length === 0) return true;
    if (!this.#send(leader, data)) {
      queue.putBack(good);
      return false;
    }
    const now = clock.now();
    queue.launched(number, good, { term: raft.term, now, forwarded: data });
    onProposed(good.length);
    return true;
  }

  #send(leader: MemberId, data: Uint8Array): boolean {
    const { raft, send } = this.#deps;
    return send(leader, encodeForward({ kind: "propose", term: raft.term, data }));
  }

  /** Why not; `undefined` if it is appended. */
  #appendForwarded(data: Uint8Array): ErrorCode | undefined {
    const { raft, clock, leaseClock, rules, blocked } = this.#deps;
    const code = blocked();
    if (code !== undefined) return code;
    const now = clock.now();
    rules.stamp(data, now, leaseClock.stamp(now));
    const result = raft.propose(data);
    return result.kind === "refused" ? result.code : undefined;
  }

  #windowOf(from: MemberId, life: number): SeenWindow {
    const { raft } = this.#deps;
    if (this.#windowsTerm !== raft.term) {
      this.#windowsTerm = raft.term;
      this.#windows.clear();
    }
    let lives = this.#windows.get(from);
    if (lives === undefined) this.#windows.set(from, (lives = new Map()));
    let window = lives.get(life);
    if (window === undefined) {
      lives.set(life, (window = new SeenWindow()));
      // Insertion order: the first is the one longest dead.
      for (const old of lives.keys()) {
        if (lives.size <= LIVES_MAX) break;
        lives.delete(old);
      }
    }
    return window;
  }
}
