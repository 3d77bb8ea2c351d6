import type { Channel } from "../../src/node/mod.ts";
import type { Prng } from "../../src/stdx/mod.ts";
import type { Coverage } from "./coverage.ts";
import type { Engine, Owner } from "./engine.ts";

/**
 * The network as the transport leaves it to a member: in order per peer and channel, at most once,
 * perhaps never. Subjects have a total order each; a payload for an earlier life of its receiver is
 * refused there, and so is one of a sender that has been heard of in a later life.
 */

/** A process on the network. */
export interface Station extends Owner {
  readonly name: string;
  /** The only ones it talks with. */
  readonly peerNames: ReadonlySet<string>;
  receive(from: string, channel: Channel, payload: Uint8Array): void;
  unreachable(name: string): void;
}

interface Frame {
  readonly from: Station;
  readonly to: Station | undefined;
  readonly payload: Uint8Array;
  readonly deliverAt: number;
}

interface Line {
  readonly frames: Frame[];
  lastAt: number;
}

/** Payloads that may wait on one line; past it a sender is told that its queue is full. */
const LINE_FRAMES_MAX = 256;
/** Milliseconds after which a transport tells that what it sent may be lost. */
const UNREACHABLE_MS = 120;

export class Network {
  /** Milliseconds. */
  latencyMs = 1;
  jitterMs = 4;
  /** Chance that a payload is lost. */
  loss = 0;
  /** Pairs "from>to" that lose everything. */
  readonly cut: Set<string> = new Set();
  /** Members without a broker. */
  readonly offline: Set<string> = new Set();
  readonly #stations = new Map<string, Station>();
  readonly #lines = new Map<string, Line>();
  readonly #warned = new Map<string, number>();
  readonly #engine: Engine;
  readonly #random: Prng;
  readonly #coverage: Coverage;

  constructor(engine: Engine, random: Prng, coverage: Coverage) {
    this.#engine = engine;
    this.#random = random;
    this.#coverage = coverage;
  }

  /** A new life of the member: from here on the earlier one neither gets nor sends anything. */
  join(station: Station): void {
    this.#stations.set(station.name, station);
  }

  leave(station: Station): void {
    if (this.#stations.get(station.name) === station) this.#stations.delete(station.name);
  }

  send(from: Station, to: string, channel: Channel, payload: Uint8Array): boolean {
    if (!from.isAlive || !from.peerNames.has(to)) return false;
    const random = this.#random;
    const key = `${from.name}>${to}/${channel}`;
    const line = this.#lineOf(key);
    if (this.offline.has(from.name)) {
      this.#coverage.add("payloads refused without a broker");
      return false;
    }
    if (line.frames.length >= LINE_FRAMES_MAX) return false;
    if (this.#isLost(from.name, to)) {
      this.#coverage.add("payloads lost");
      this.#warn(from, to);
      return true;
    }
    const slow = random.below(40) === 0 ? random.below(10) * this.latencyMs : 0;
    const delay = this.latencyMs + random.below(this.jitterMs + 1) + slow;
    const deliverAt = Math.max(line.lastAt, this.#engine.moment + delay);
    line.lastAt = deliverAt;
    // Bytes leave the sender's memory: what it does with them later changes nothing.
    const frame = { from, to: this.#stations.get(to), payload: payload.slice(), deliverAt };
    line.frames.push(frame);
    this.#engine.at(deliverAt, undefined, () => this.#arrive(key, channel));
    return true;
  }

  #isLost(from: string, to: string): boolean {
    if (this.offline.has(to) || this.cut.has(`${from}>${to}`)) return true;
    return this.loss > 0 && this.#random.next() < this.loss;
  }

  /** The transport notices, sometimes, and not at once. */
  #warn(from: Station, to: string): void {
    const key = `${from.name}>${to}`;
    const last = this.#warned.get(key);
    if (last !== undefined && this.#engine.now - last < 500) return;
    this.#warned.set(key, this.#engine.now);
    if (this.#random.below(2) === 0) return;
    this.#engine.after(UNREACHABLE_MS, from, () => from.unreachable(to));
  }

  #arrive(key: string, channel: Channel): void {
    const frame = this.#lineOf(key).frames.shift();
    if (frame === undefined) return;
    const { from, to, payload } = frame;
    if (to === undefined || !to.isAlive || this.offline.has(to.name)) return;
    // A later life of the sender is known to the broker and to the receiver.
    if (this.#stations.get(from.name) !== from && this.#stations.has(from.name)) return;
    if (!to.peerNames.has(from.name)) return;
    this.#engine.at(this.#engine.now, to, () => {
      this.#coverage.add("payloads delivered");
      to.receive(from.name, channel, payload);
    });
  }

  #lineOf(key: string): Line {
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, (line = { frames: [], lastAt: 0 }));
    return line;
  }
}
