import type { WatchResponse } from "../types/mod.ts";

export interface OutboxLimits {
  readonly streamBytesMax: number;
  readonly streamEventsMax: number;
}

interface Item {
  readonly response: WatchResponse;
  readonly bytes: number;
}

/** A queue spends at most this many empty places at its front before it moves up. */
const SPENT_PLACES_MAX = 64;

/**
 * The one ordered queue of a stream: whatever the client is told, events, progress or the end of a
 * watch, it is told in the order in which it was pushed.
 */
export class Outbox {
  readonly #limits: OutboxLimits;
  #items: (Item | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  #events = 0;
  #controls = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  /** Queued responses without events. */
  get controls(): number {
    return this.#controls;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get events(): number {
    return this.#events;
  }

  /** Whether this much more stays within the limits. A single change always fits an idle outbox. */
  fits(bytes: number, events: number): boolean {
    return this.#events === 0 || this.holds(bytes, events);
  }

  /** Whether this much more stays within the limits, idle or not. */
  holds(bytes: number, events: number): boolean {
    const { streamBytesMax, streamEventsMax } = this.#limits;
    return this.#bytes + bytes <= streamBytesMax && this.#events + events <= streamEventsMax;
  }

  /** Whether it has drained far enough that reading a slice for it is worth the while. */
  get isLow(): boolean {
    const { streamBytesMax, streamEventsMax } = this.#limits;
    return this.#bytes * 2 <= streamBytesMax && this.#events * 2 <= streamEventsMax;
  }

  push(response: WatchResponse, bytes: number): void {
    this.#items.push({ response, bytes });
    this.#bytes += bytes;
    this.#events += response.events.length;
    if (response.events.length === 0) this.#controls++;
  }

  shift(): WatchResponse | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head] = undefined;
    this.#head++;
    this.#bytes -= item.bytes;
    this.#events -= item.response.events.length;
    if (item.response.events.length === 0) this.#controls--;
    this.#tidy();
    return item.response;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#events = 0;
    this.#controls = 0;
  }

  /** Moves up once half of the places are spent. */
  #tidy(): void {
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > SPENT_PLACES_MAX && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }
}
