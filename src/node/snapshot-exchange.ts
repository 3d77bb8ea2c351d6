import type { SnapshotMessage, SnapshotMeta } from "../core/raft/mod.ts";
import type { Cancel, Clock, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  type SnapshotStreamMessage,
  decodeSnapshotMessage,
  encodeSnapshotMessage,
} from "../wire/mod.ts";
import type { OutgoingSnapshot, SnapshotStore } from "./snapshot-ports.ts";
import { REASON_CHARS_MAX, SnapshotReceiving } from "./snapshot-receiving.ts";
import { SnapshotSending } from "./snapshot-sending.ts";

export interface SnapshotExchangeDeps {
  /** On the channel "snap"; false if it was dropped at once. */
  send(to: string, bytes: Uint8Array): boolean;
  readonly store: SnapshotStore;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of this member. */
  appliedIndex(): number;
  /** A snapshot of `from` is there to be installed, or was not needed: raft is to step its message. */
  onArrived(from: string, message: { readonly term: number; readonly meta: SnapshotMeta }): void;
  /** Once for each `start`. */
  onSent(to: string, delivered: boolean): void;
}

const TICK_MS = 250;
/**
 * Raft asks again at the next heartbeat after it was told that a snapshot did not arrive. Where the
 * copy failed, or the peer refused, the answer is held back so long: doubled with each failure.
 */
const RETRY_MS = 5000;
const RETRY_MS_MAX = 60_000;

/** What raft has asked to be sent to one peer. */
interface Order {
  /** As of the newest of its starts. */
  message: SnapshotMessage;
  /** Calls of `start` that have not been answered. */
  starts: number;
  /** Undefined while the copy is made, and once it failed. */
  sending: SnapshotSending | undefined;
  /** Given once it failed: the answer comes later. */
  retry: Cancel | undefined;
}

/**
 * Brings snapshots to the members that raft names, and takes those of the leader. Every `start` is
 * answered once by `onSent`, whatever becomes of the network, the peer or the disk.
 */
export class SnapshotExchange {
  readonly #deps: SnapshotExchangeDeps;
  readonly #receiving: SnapshotReceiving;
  readonly #orders = new Map<string, Order>();
  /** By peer: how often in a row it could not be sent. */
  readonly #failures = new Map<string, number>();
  #stream: number;
  #ticks: Cancel | undefined;
  #isStopped = false;

  constructor(deps: SnapshotExchangeDeps) {
    this.#deps = deps;
    this.#receiving = new SnapshotReceiving({
      ...deps,
      send: (to, message) => deps.send(to, encodeSnapshotMessage(message)),
    });
    // Counts on from an earlier life of this member.
    this.#stream = Math.floor(deps.clock.now());
  }

  /** Whether snapshots are on their way, or being copied. */
  get isSending(): boolean {
    return this.#active().length > 0;
  }

  /**
   * The lowest index of the snapshots on their way; undefined while one is being copied. If the log is
   * compacted past it, the peer needs another snapshot when it has this one.
   */
  get oldestOutgoing(): number | undefined {
    let oldest: number | undefined;
    for (const { sending } of this.#active()) {
      if (sending === undefined) return undefined;
      const { index } = sending.snapshot.meta;
      oldest = Math.min(oldest ?? index, index);
    }
    return oldest;
  }

  /** Sends the peer what raft's message asks for. */
  start(to: string, message: SnapshotMessage): void {
    if (this.#isStopped) {
      this.#deps.onSent(to, false);
      return;
    }
    const order = this.#orders.get(to);
    if (order === undefined) {
      const made: Order = { message, starts: 1, sending: undefined, retry: undefined };
      this.#orders.set(to, made);
      void this.#copy(to, made);
      this.#tickWhileNeeded();
      return;
    }
    // Answered with the stream that is under way, or the one that takes its place: raft would take an
    // answer now for one to this start.
    order.starts += 1;
    order.message = message;
    const { sending } = order;
    if (sending === undefined || order.retry !== undefined) return;
    const isEnough = sending.snapshot.meta.index >= message.snapshot.index;
    if (sending.term === message.term && isEnough) return;
    this.#endSending(to, order, "a newer one takes its place");
    void this.#copy(to, order);
  }

  /** A payload of the channel "snap". */
  receive(from: string, payload: Uint8Array): void {
    if (this.#isStopped) return;
    try {
      this.#take(from, decodeSnapshotMessage(payload));
    } catch (error) {
      this.#deps.logger.warn("A message about snapshots was dropped", { from, cause: error });
    }
    this.#tickWhileNeeded();
  }

  /** This member does not lead any more: what it sends is of no use. */
  endOutgoing(): void {
    for (const [to, order] of Array.from(this.#orders)) {
      this.#endSending(to, order, "the sender leads no more");
      this.#answer(to, order, false);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#receiving.stop();
    this.endOutgoing();
    this.#ticks?.();
    this.#ticks = undefined;
  }

  #active(): readonly Order[] {
    return [...this.#orders.values()].filter(({ retry }) => retry === undefined);
  }

  #take(from: string, message: SnapshotStreamMessage): void {
    switch (message.kind) {
      case "offer":
        this.#receiving.offered(from, message);
        return;
      case "chunk":
        this.#receiving.chunk(from, message);
        return;
      case "want":
        this.#sendingOf(from, message.stream)?.wanted(message.offset);
        return;
      case "end": {
        const { stream, delivered, reason } = message;
        if (this.#sendingOf(from, stream) === undefined) {
          this.#receiving.senderEnded(from, stream, reason);
        } else if (delivered) this.#delivered(from);
        else this.#failed(from, { reason, isRefusal: true });
      }
    }
  }

  #sendingOf(to: string, stream: number): SnapshotSending | undefined {
    const sending = this.#orders.get(to)?.sending;
    return sending?.stream === stream ? sending : undefined;
  }

  async #copy(to: string, order: Order): Promise<void> {
    const isWanted = (): boolean => this.#orders.get(to) === order && order.retry === undefined;
    try {
      for (;;) {
        const { index } = order.message.snapshot;
        const snapshot = await this.#deps.store.create(index);
        const isEnough = snapshot.meta.index >= order.message.snapshot.index;
        if (isWanted() && order.sending === undefined && isEnough) {
          this.#send(to, order, snapshot);
          return;
        }
        snapshot.release();
        if (!isWanted() || order.sending !== undefined) return;
      }
    } catch (error) {
      if (isWanted() && order.sending === undefined) {
        this.#failed(to, { reason: String(error), isRefusal: true });
      }
    }
  }

  #send(to: string, order: Order, snapshot: OutgoingSnapshot): void {
    const { send, scheduler, clock, logger } = this.#deps;
    this.#stream += 1;
    const { index } = snapshot.meta;
    logger.info("Sending a snapshot", { to, index, bytes: snapshot.bytes });
    const sending = new SnapshotSending(
      {
        send: (message) => send(to, encodeSnapshotMessage(message)),
        scheduler,
        clock,
        onFailed: (reason) => {
          if (order.sending === sending) this.#failed(to, { reason, isRefusal: false });
        },
      },
      { stream: this.#stream, term: order.message.term, snapshot },
    );
    order.sending = sending;
  }

  #delivered(to: string): void {
    const order = this.#orders.get(to);
    if (order === undefined) return;
    order.sending?.end();
    this.#failures.delete(to);
    this.#deps.logger.info("Snapshot delivered", { to });
    this.#answer(to, order, true);
  }

  #failed(to: string, { reason, isRefusal }: { reason: string; isRefusal: boolean }): void {
    const order = this.#orders.get(to);
    if (order === undefined) return;
    const failures = this.#failures.get(to) ?? 0;
    this.#failures.set(to, failures + 1);
    this.#deps.logger.warn("A snapshot was not delivered", { to, reason });
    this.#endSending(to, order, reason);
    if (!isRefusal) {
      this.#answer(to, order, false);
      return;
    }
    const delay = Math.min(RETRY_MS * 2 ** failures, RETRY_MS_MAX);
    order.retry = this.#deps.scheduler.after(delay, () => this.#answer(to, order, false));
  }

  #endSending(to: string, order: Order, reason: string): void {
    const { sending } = order;
    if (sending === undefined) return;
    order.sending = undefined;
    sending.end();
    const { stream } = sending;
    this.#deps.send(
      to,
      encodeSnapshotMessage({
        kind: "end",
        stream,
        delivered: false,
        reason: reason.slice(0, REASON_CHARS_MAX),
      }),
    );
  }

  #answer(to: string, order: Order, delivered: boolean): void {
    if (this.#orders.get(to) !== order) return;
    this.#orders.delete(to);
    order.retry?.();
    for (let i = 0; i < order.starts; i++) this.#deps.onSent(to, delivered);
  }

  /** The clock runs only while something is under way. */
  #tickWhileNeeded(): void {
    if (this.#isStopped || this.#ticks !== undefined) return;
    if (this.#orders.size === 0 && !this.#receiving.isActive) return;
    this.#ticks = this.#deps.scheduler.every(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    const now = this.#deps.clock.now();
    for (const { sending } of this.#orders.values()) sending?.tick(now);
    this.#receiving.tick(now);
    if (this.#orders.size > 0 || this.#receiving.isActive) return;
    this.#ticks?.();
    this.#ticks = undefined;
  }
}
