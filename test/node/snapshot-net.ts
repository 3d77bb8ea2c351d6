import { createHash } from "node:crypto";
import type { SnapshotMessage, SnapshotMeta } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { SnapshotExchange } from "../../src/node/snapshot-exchange.ts";
import type {
  IncomingSnapshot,
  OutgoingSnapshot,
  SnapshotOffer,
  SnapshotStore,
} from "../../src/node/snapshot-ports.ts";
import type { Cancel, Clock, Prng, Scheduler } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { type SnapshotStreamMessage, decodeSnapshotMessage } from "../../src/wire/mod.ts";

/** Members that exchange snapshots over a network of this process, in virtual time. */

/** How the network treats each payload. */
export interface Weather {
  /** Chances from 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
  /** Payloads may overtake each other by as many milliseconds. */
  readonly jitterMs: number;
}

export const CALM: Weather = { loss: 0, duplication: 0, jitterMs: 0 };

const LATENCY_MS = 2;
/** More steps than any test takes: whoever does not end by then never does. */
const STEPS_MAX = 2_000_000;

/** A state of pseudorandom bytes, the same for the same index and size. */
export function stateBytes(index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let word = (index * 2654435761) >>> 0;
  for (let i = 0; i < size; i++) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    bytes[i] = word >>> 24;
  }
  return bytes;
}

export function metaOf(index: number): SnapshotMeta {
  return {
    index,
    term: 1,
    confState: {
      voters: [memberId(1n)],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
  };
}

interface Due {
  readonly at: number;
  /** Of the asking, which decides between two of one time. */
  readonly order: number;
  readonly work: () => void;
}

/** Time, timers, and payloads under way. */
export class World {
  now = 1_000_000_000;
  weather: Weather = CALM;
  /** Payloads for which it is true are refused at once, as by a full queue. */
  refuse: (from: string, message: SnapshotStreamMessage) => boolean = () => false;
  /** Payloads for which it is true are lost. */
  cut: (from: string, to: string, message: SnapshotStreamMessage) => boolean = () => false;
  readonly nodes: Map<string, NetMember> = new Map();
  /** All that was sent. */
  readonly log: { from: string; to: string; message: SnapshotStreamMessage }[] = [];
  /** The most bytes that were on their way at once. */
  flightBytesMax = 0;
  #flightBytes = 0;
  readonly #due: Due[] = [];
  #order = 0;
  readonly #random: Prng;

  constructor(random: Prng) {
    this.#random = random;
  }

  readonly clock: Clock = { now: () => this.now };

  readonly scheduler: Scheduler = {
    soon: (work) => void this.#at(this.now, work),
    after: (ms, work) => this.#at(this.now + ms, work),
    every: (ms, work) => {
      let cancel = (): void => undefined;
      const again = (): void => {
        cancel = this.#at(this.now + ms, () => {
          again();
          work();
        });
      };
      again();
      return () => cancel();
    },
  };

  send(from: string, to: string, payload: Uint8Array): boolean {
    const message = decodeSnapshotMessage(payload);
    if (this.refuse(from, message)) return false;
    this.log.push({ from, to, message });
    if (this.cut(from, to, message)) return true;
    const chance = (): number => this.#random.below(1_000_000) / 1_000_000;
    for (let copies = chance() < this.weather.duplication ? 2 : 1; copies > 0; copies--) {
      if (chance() < this.weather.loss) continue;
      const jitter = this.weather.jitterMs > 0 ? this.#random.below(this.weather.jitterMs) : 0;
      this.#flightBytes += payload.length;
      this.flightBytesMax = Math.max(this.flightBytesMax, this.#flightBytes);
      this.#at(this.now + LATENCY_MS + jitter, () => {
        this.#flightBytes -= payload.length;
        this.nodes.get(to)?.exchange.receive(from, payload);
      });
    }
    return true;
  }

  /** Runs until `isDone`, or nothing is left to do. */
  async run(isDone: () => boolean = () => false): Promise<void> {
    for (let step = 0; step < STEPS_MAX; step++) {
      await settle();
      if (isDone()) return;
      let next: Due | undefined;
      for (const one of this.#due) {
        if (
          next === undefined ||
          one.at < next.at ||
          (one.at === next.at && one.order < next.order)
        ) {
          next = one;
        }
      }
      if (next === undefined) return;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.work();
    }
    throw new Error("The exchange does not come to an end");
  }

  /** Runs for so long. */
  async pass(ms: number): Promise<void> {
    let isOver = false;
    this.#at(this.now + ms, () => (isOver = true));
    await this.run(() => isOver);
  }

  #at(at: number, work: () => void): Cancel {
    const item = { at, order: this.#order++, work };
    this.#due.push(item);
    return () => {
      const place = this.#due.indexOf(item);
      if (place >= 0) this.#due.splice(place, 1);
    };
  }
}

/** Lets promises that wait for nothing outside go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve();
}

/** The disk of a member: it outlives the exchange, as files outlive a process. */
export class FakeStore implements SnapshotStore {
  applied = 0;
  size: number;
  /** Thrown by the next calls, while given. */
  createFailure: CofferError | undefined;
  writeFailure: CofferError | undefined;
  finishFailure: CofferError | undefined;
  /** Checking takes until it is resolved. */
  beforeFinish: () => Promise<void> = () => Promise.resolve();
  /** Copies made, and not yet released. */
  copies = 0;
  held = 0;
  readBytesMax = 0;
  installed: SnapshotMeta | undefined;
  #newest: { readonly meta: SnapshotMeta; readonly data: Uint8Array } | undefined;
  #partial: { readonly sha256: string; readonly data: Uint8Array; size: number } | undefined;
  #open: object | undefined;
  finished: Uint8Array | undefined;

  constructor(size: number) {
    this.size = size;
  }

  create(minIndex: number): Promise<OutgoingSnapshot> {
    if (this.createFailure !== undefined) return Promise.reject(this.createFailure);
    if (this.#newest === undefined || this.#newest.meta.index < minIndex) {
      this.copies += 1;
      const index = Math.max(this.applied, minIndex);
      this.#newest = { meta: metaOf(index), data: stateBytes(index, this.size) };
    }
    const { meta, data } = this.#newest;
    this.held += 1;
    let isHeld = true;
    return Promise.resolve({
      meta,
      bytes: data.length,
      sha256: createHash("sha256").update(data).digest(),
      read: (offset, length) => {
        this.readBytesMax = Math.max(this.readBytesMax, length);
        return Promise.resolve(data.slice(offset, offset + length));
      },
      release: () => {
        if (isHeld) this.held -= 1;
        isHeld = false;
      },
    });
  }

  receive(offer: SnapshotOffer): Promise<IncomingSnapshot> {
    const sha256 = Buffer.from(offer.sha256).toString("hex");
    if (this.#partial?.sha256 !== sha256) {
      this.#partial = { sha256, data: new Uint8Array(offer.bytes), size: 0 };
    }
    const partial = this.#partial;
    const token = {};
    this.#open = token;
    const check = (): void => {
      if (this.#open !== token) throw new CofferError("canceled");
    };
    const end = (): Promise<void> => {
      if (this.#open === token) this.#open = undefined;
      return Promise.resolve();
    };
    return Promise.resolve({
      have: partial.size,
      write: async (offset, data) => {
        check();
        if (this.writeFailure !== undefined) throw this.writeFailure;
        if (offset !== partial.size) throw new Error("A write with a gap, or twice");
        partial.data.set(data, offset);
        partial.size += data.length;
        await Promise.resolve();
      },
      finish: async () => {
        check();
        await this.beforeFinish();
        check();
        await end();
        this.#partial = undefined;
        if (this.finishFailure !== undefined) throw this.finishFailure;
        const found = createHash("sha256").update(partial.data).digest("hex");
        if (found !== sha256) throw new CofferError("corrupt");
        this.finished = partial.data;
      },
      suspend: end,
      discard: () => {
        this.#partial = undefined;
        return end();
      },
    });
  }

  install(meta: SnapshotMeta): void {
    this.installed = meta;
    this.applied = meta.index;
  }

  get partialBytes(): number {
    return this.#partial?.size ?? 0;
  }
}

interface Arrival {
  readonly from: string;
  readonly term: number;
  readonly meta: SnapshotMeta;
}

interface Report {
  readonly to: string;
  readonly delivered: boolean;
  /** Virtual milliseconds. */
  readonly at: number;
}

export interface NetMember {
  readonly name: string;
  readonly store: FakeStore;
  exchange: SnapshotExchange;
  readonly arrived: readonly Arrival[];
  readonly sent: readonly Report[];
  /** Ends this life, of which nothing is heard any more, and begins another over the same disk. */
  restart(): void;
}

export function addMember(world: World, name: string, size: number): NetMember {
  const store = new FakeStore(size);
  const arrived: Arrival[] = [];
  const sent: Report[] = [];
  let life = 0;
  const begin = (): SnapshotExchange => {
    life += 1;
    const mine = life;
    return new SnapshotExchange({
      send: (to, bytes) => mine === life && world.send(name, to, bytes),
      store,
      scheduler: world.scheduler,
      clock: world.clock,
      logger: silentLogger,
      appliedIndex: () => store.applied,
      onArrived: (from, { term, meta }) => {
        if (mine !== life) return;
        arrived.push({ from, term, meta });
        if (meta.index > store.applied) store.install(meta);
      },
      onSent: (to, delivered) => {
        if (mine === life) sent.push({ to, delivered, at: world.now });
      },
    });
  };
  const member: NetMember = {
    name,
    store,
    exchange: begin(),
    arrived,
    sent,
    restart() {
      member.exchange = begin();
    },
  };
  world.nodes.set(name, member);
  return member;
}

/** Raft's wish that `index` or later be sent. */
export function wish(index: number, term: number = 1): SnapshotMessage {
  const [from, to] = [memberId(1n), memberId(2n)];
  return { kind: "snapshot", from, to, term, snapshot: metaOf(index) };
}
