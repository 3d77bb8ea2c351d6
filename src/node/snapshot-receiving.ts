import type { SnapshotMeta } from "../core/raft/mod.ts";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { SnapshotStreamMessage } from "../wire/mod.ts";
import type { IncomingSnapshot, SnapshotStore } from "./snapshot-ports.ts";
import { GIVE_UP_MS, WINDOW_BYTES } from "./snapshot-sending.ts";

type Offer = Extract<SnapshotStreamMessage, { readonly kind: "offer" }>;
type Chunk = Extract<SnapshotStreamMessage, { readonly kind: "chunk" }>;

export interface ReceivingDeps {
  send(to: string, message: SnapshotStreamMessage): boolean;
  readonly store: Pick<SnapshotStore, "receive">;
  readonly clock: Clock;
  readonly logger: Logger;
  appliedIndex(): number;
  onArrived(from: string, message: { readonly term: number; readonly meta: SnapshotMeta }): void;
}

/** A sender that was not heard for so long comes back with a new stream, if at all. */
const FORGET_MS = 2 * GIVE_UP_MS;
/** Of what is told to the other side. */
export const REASON_CHARS_MAX = 200;

/** How the last stream ended, for whoever missed it. */
interface Ended {
  readonly from: string;
  readonly offer: Offer;
  readonly delivered: boolean;
  readonly reason: string;
}

/** What is received of one offer. */
interface Receiving {
  readonly from: string;
  readonly offer: Offer;
  /** Undefined until its file is open. */
  incoming: IncomingSnapshot | undefined;
  /** All before it is on its way to the file; the only offset that a chunk is taken at. */
  next: number;
  /** All before it is in the file. */
  written: number;
  /** An answer is due once all that is on its way is written. */
  owesAnswer: boolean;
  /** The gap at this offset has been told of. */
  gapTold: number;
  isFinishing: boolean;
  heardAt: number;
}

/** The receiving side: one snapshot at a time; the newest offer, by term and stream, wins. */
export class SnapshotReceiving {
  readonly #deps: ReceivingDeps;
  #current: Receiving | undefined;
  #ended: Ended | undefined;

  constructor(deps: ReceivingDeps) {
    this.#deps = deps;
  }

  get isActive(): boolean {
    return this.#current !== undefined;
  }

  tick(now: number): void {
    const current = this.#current;
    if (current === undefined || current.isFinishing) return;
    if (now - current.heardAt >= FORGET_MS) this.#leave(current, "the sender is silent");
  }

  offered(from: string, offer: Offer): void {
    const { stream, term, meta, bytes, sha256 } = offer;
    if (bytes < 1 || sha256.length !== 32 || meta.index < 1) return;
    const current = this.#current;
    if (current?.offer.term === term && isSame(current, from, stream)) {
      current.heardAt = this.#deps.clock.now();
      this.#answer(current);
      return;
    }
    const ended = this.#ended;
    if (ended?.offer.term === term && isSame(ended, from, stream)) {
      this.#sendEnd(ended);
      return;
    }
    const newest = current ?? ended;
    if (newest !== undefined && !isNewer(offer, newest.offer)) {
      this.#sendEnd({ from, offer, delivered: false, reason: "a newer snapshot was offered" });
      return;
    }
    if (current !== undefined) this.#leave(current, "a newer snapshot is offered");
    this.#begin(from, offer);
  }

  chunk(from: string, { stream, offset, data }: Chunk): void {
    const current = this.#current;
    if (current?.incoming === undefined || !isSame(current, from, stream)) return;
    current.heardAt = this.#deps.clock.now();
    if (offset > current.next) this.#tellOfGap(current);
    if (offset !== current.next || current.isFinishing) return;
    const { length } = data;
    // More than a window at once is from nobody who keeps to it.
    const end = Math.min(current.offer.bytes, current.written + WINDOW_BYTES);
    if (length === 0 || offset + length > end) return;
    current.next = offset + length;
    current.incoming.write(offset, data).then(
      () => this.#wrote(current, offset + length),
      (error: unknown) => this.#fail(current, error),
    );
  }

  /** The sender gave it up. */
  senderEnded(from: string, stream: number, reason: string): void {
    const current = this.#current;
    if (current !== undefined && isSame(current, from, stream)) this.#leave(current, reason);
  }

  stop(): void {
    if (this.#current !== undefined) this.#leave(this.#current, "the member stops");
  }

  #begin(from: string, offer: Offer): void {
    const { appliedIndex, store, clock, logger, onArrived } = this.#deps;
    const { meta, term, bytes, sha256 } = offer;
    if (meta.index <= appliedIndex()) {
      // It is here already, or more; raft answers with how far this member is.
      this.#end({ from, offer, delivered: true, reason: "" });
      onArrived(from, { term, meta });
      return;
    }
    const current: Receiving = {
      from,
      offer,
      incoming: undefined,
      next: 0,
      written: 0,
      owesAnswer: false,
      gapTold: -1,
      isFinishing: false,
      heardAt: clock.now(),
    };
    this.#current = current;
    logger.info("Receiving a snapshot", { from, index: meta.index, bytes });
    store.receive({ meta, bytes, sha256 }).then(
      (incoming) => this.#opened(current, incoming),
      (error: unknown) => this.#fail(current, error),
    );
  }

  #opened(current: Receiving, incoming: IncomingSnapshot): void {
    if (current !== this.#current) {
      this.#drop(incoming.suspend());
      return;
    }
    current.incoming = incoming;
    current.next = incoming.have;
    current.written = incoming.have;
    if (current.written === current.offer.bytes) this.#finish(current);
    this.#want(current);
  }

  #wrote(current: Receiving, upTo: number): void {
    if (current !== this.#current) return;
    current.written = upTo;
    if (upTo === current.offer.bytes) this.#finish(current);
    this.#want(current);
    if (!current.owesAnswer || current.written < current.next) return;
    current.owesAnswer = false;
    this.#want(current);
  }

  /** Once for each offer, and only when it is known what has come of all that was sent before. */
  #answer(current: Receiving): void {
    if (current.incoming === undefined) return;
    if (current.written < current.next) current.owesAnswer = true;
    else this.#want(current);
  }

  #tellOfGap(current: Receiving): void {
    if (current.gapTold === current.next) return;
    current.gapTold = current.next;
    this.#answer(current);
  }

  #want({ from, offer, written }: Receiving): void {
    this.#deps.send(from, { kind: "want", stream: offer.stream, offset: written });
  }

  #finish(current: Receiving): void {
    current.isFinishing = true;
    current.incoming?.finish().then(
      () => this.#arrived(current),
      (error: unknown) => this.#fail(current, error),
    );
  }

  #arrived(current: Receiving): void {
    if (current !== this.#current) return;
    const { from, offer } = current;
    this.#end({ from, offer, delivered: true, reason: "" });
    this.#deps.onArrived(from, { term: offer.term, meta: offer.meta });
  }

  #fail(current: Receiving, error: unknown): void {
    if (current !== this.#current) return;
    const { from, offer, incoming } = current;
    this.#deps.logger.error("A snapshot could not be received", { from, cause: error });
    // A full disk must have its room back; otherwise the next attempt goes on with what is there.
    const isFull = error instanceof CofferError && error.code === "no-space";
    if (incoming !== undefined) this.#drop(isFull ? incoming.discard() : incoming.suspend());
    this.#end({ from, offer, delivered: false, reason: String(error).slice(0, REASON_CHARS_MAX) });
  }

  /** Ends it as far as it has come, and keeps that. */
  #leave(current: Receiving, reason: string): void {
    const { from, offer, incoming } = current;
    this.#deps.logger.info("A snapshot is not received any more", { from, reason });
    this.#current = undefined;
    this.#ended = { from, offer, delivered: false, reason };
    if (incoming !== undefined) this.#drop(incoming.suspend());
  }

  #end(ended: Ended): void {
    this.#current = undefined;
    this.#ended = ended;
    this.#sendEnd(ended);
  }

  #sendEnd({ from, offer, delivered, reason }: Ended): void {
    this.#deps.send(from, { kind: "end", stream: offer.stream, delivered, reason });
  }

  #drop(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#deps.logger.warn("A received snapshot could not be put away", { cause: error });
    });
  }
}

function isSame(
  known: { readonly from: string; readonly offer: Offer },
  from: string,
  stream: number,
): boolean {
  return known.from === from && known.offer.stream === stream;
}

/** A term has one leader, and a leader counts its streams up. */
function isNewer(offer: Offer, than: Offer): boolean {
  return offer.term === than.term ? offer.stream > than.stream : offer.term > than.term;
}
