import type { Cancel, Clock, Scheduler } from "../stdx/mod.ts";
import { SNAPSHOT_CHUNK_BYTES_MAX, type SnapshotStreamMessage } from "../wire/mod.ts";
import type { OutgoingSnapshot } from "./snapshot-ports.ts";

/**
 * One snapshot on its way to one peer. The receiver says from where on it wants bytes; that is also
 * the acknowledgement of those before it. At most a window of them is on its way, so that neither side
 * nor anything between them holds more.
 *
 * The channel keeps the order and loses: so what a receiver says again, without having come further,
 * tells of a loss, and the sender goes back to there. When nothing is heard the offer is sent again; the
 * answer to it tells what was lost of all that was sent before it.
 */

/** Bytes on their way. */
export const WINDOW_BYTES: number = 8 * SNAPSHOT_CHUNK_BYTES_MAX;

/** Silence after which the offer is sent again; doubled each time, up to the second. */
const SILENCE_MS = 1000;
const SILENCE_MS_MAX = 8000;
/** Without progress for so long it is given up. */
export const GIVE_UP_MS = 60_000;
/** The receiver may check what it has for so long, as long as it answers. */
export const CHECK_MS_MAX: number = 10 * 60_000;
/** A send that was refused, as the queue was full, is tried again after this. */
const REFUSED_MS = 50;

export interface SendingDeps {
  send(message: SnapshotStreamMessage): boolean;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  /** The receiver has no part in this end: reading failed, or nothing came back. */
  onFailed(reason: string): void;
}

export class SnapshotSending {
  readonly stream: number;
  readonly term: number;
  readonly snapshot: OutgoingSnapshot;
  readonly #deps: SendingDeps;
  /** All before it is at the receiver. */
  #acked = 0;
  /** All before it has been sent. Invariant: acked <= sent <= acked + WINDOW_BYTES. */
  #sent = 0;
  #ackedMax = -1;
  #isWanted = false;
  /** Where `#sent` was when the unanswered offer went out. */
  #offeredAt: number | undefined;
  /** Counts the times of going back: what is read meanwhile is of no use. */
  #turn = 0;
  #isPumping = false;
  #refused: Cancel | undefined;
  #isEnded = false;
  #silenceMs = SILENCE_MS;
  #heardAt: number;
  #progressAt: number;
  #checkedSince: number | undefined;

  constructor(
    deps: SendingDeps,
    what: { readonly stream: number; readonly term: number; readonly snapshot: OutgoingSnapshot },
  ) {
    this.#deps = deps;
    this.stream = what.stream;
    this.term = what.term;
    this.snapshot = what.snapshot;
    this.#heardAt = deps.clock.now();
    this.#progressAt = this.#heardAt;
    this.#offer();
  }

  /** Time has passed. */
  tick(now: number): void {
    if (this.#isEnded) return;
    if (now - this.#progressAt >= GIVE_UP_MS) {
      this.#deps.onFailed("no progress");
      return;
    }
    if (now - this.#heardAt < this.#silenceMs) return;
    this.#silenceMs = Math.min(this.#silenceMs * 2, SILENCE_MS_MAX);
    this.#heardAt = now;
    this.#offer();
  }

  wanted(offset: number): void {
    if (this.#isEnded || offset > this.snapshot.bytes) return;
    this.#heardAt = this.#deps.clock.now();
    if (!this.#isWanted || offset > this.#acked) {
      this.#isWanted = true;
      this.#advance(offset);
      return;
    }
    if (offset === this.snapshot.bytes) this.#receiverChecks();
    const offeredAt = this.#offeredAt;
    this.#offeredAt = undefined;
    const isAnswer = offeredAt !== undefined && offset === this.#acked;
    // All that was sent before the offer has come; the rest is on its way.
    if (isAnswer && offset >= offeredAt) return;
    if (offset < this.#sent) this.#goBack(offset);
  }

  /** Nothing more is sent, and the snapshot is released. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#refused?.();
    this.snapshot.release();
  }

  #offer(): void {
    const { stream, term, snapshot } = this;
    const { meta, bytes, sha256 } = snapshot;
    if (this.#isWanted) this.#offeredAt = this.#sent;
    this.#deps.send({ kind: "offer", stream, term, meta, bytes, sha256 });
  }

  #advance(offset: number): void {
    this.#acked = offset;
    // More than this turn has sent: it had come before the offer, or before the turn.
    if (offset > this.#sent) {
      this.#sent = offset;
      this.#turn += 1;
    }
    if (offset > this.#ackedMax) {
      this.#ackedMax = offset;
      this.#silenceMs = SILENCE_MS;
      this.#progressAt = this.#heardAt;
    }
    void this.#pump();
  }

  #goBack(offset: number): void {
    this.#acked = offset;
    this.#sent = offset;
    this.#turn += 1;
    void this.#pump();
  }

  /** It has all and says so again and again: it is at work on it. */
  #receiverChecks(): void {
    this.#checkedSince ??= this.#heardAt;
    if (this.#heardAt - this.#checkedSince < CHECK_MS_MAX) this.#progressAt = this.#heardAt;
  }

  get #maySend(): boolean {
    if (this.#isEnded || this.#refused !== undefined) return false;
    return this.#sent < this.snapshot.bytes && this.#sent - this.#acked < WINDOW_BYTES;
  }

  /** Sends what the window allows, one chunk in memory at a time. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#maySend) {
        const turn = this.#turn;
        const offset = this.#sent;
        const window = this.#acked + WINDOW_BYTES - offset;
        const length = Math.min(SNAPSHOT_CHUNK_BYTES_MAX, window, this.snapshot.bytes - offset);
        const data = await this.snapshot.read(offset, length);
        if (turn === this.#turn) this.#sendChunk(offset, data);
      }
    } catch (error) {
      if (!this.#isEnded) this.#deps.onFailed(String(error));
    } finally {
      this.#isPumping = false;
    }
  }

  #sendChunk(offset: number, data: Uint8Array): void {
    if (this.#isEnded) return;
    const { send, scheduler } = this.#deps;
    if (send({ kind: "chunk", stream: this.stream, offset, data })) {
      this.#sent = offset + data.length;
      return;
    }
    this.#refused = scheduler.after(REFUSED_MS, () => {
      this.#refused = undefined;
      void this.#pump();
    });
  }
}
