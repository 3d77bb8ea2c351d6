import type { Channel, Peers } from "../../src/node/mod.ts";
import type { Scheduler } from "../../src/stdx/mod.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface Payload {
  readonly from: string;
  readonly to: string;
  readonly channel: Channel;
  readonly bytes: Uint8Array;
}

type Receiver = (from: string, channel: Channel, bytes: Uint8Array) => void;

interface Connecting {
  readonly isAlive: () => boolean;
  /** When work of this process is done. Default: as time passes. */
  readonly scheduler?: Scheduler;
}

/** What becomes of a payload: dropped, or delivered after so many milliseconds. */
type Fate = "drop" | number;

/**
 * The network between members of one process: in order per pair and channel, at most once, as NATS
 * is. The test cuts links, holds them, and looks at what passes.
 */
export class FakeHub {
  readonly #time: VirtualTime;
  readonly #receivers = new Map<string, Receiver>();
  readonly #cut = new Set<string>();
  readonly #peers = new Map<string, ReadonlySet<string>>();
  readonly #lastArrival = new Map<string, number>();
  #fate: (payload: Payload) => Fate | undefined = () => undefined;
  readonly latencyMs: number;
  /** All that was sent and not cut, in order. */
  readonly sent: Payload[] = [];
  /** A member goes on that has waited for what it sent to leave. */
  onLeft: (name: string) => void = () => undefined;

  constructor(time: VirtualTime, latencyMs = 2) {
    this.#time = time;
    this.latencyMs = latencyMs;
  }

  /** The ports of the member `name`. What it sends once `isAlive` is over goes nowhere. */
  connect(
    name: string,
    receive: Receiver,
    { isAlive, scheduler = this.#time.scheduler() }: Connecting,
  ): Peers {
    this.#receivers.set(name, receive);
    return {
      afterSends: (work) =>
        scheduler.soon(() => {
          this.onLeft(name);
          work();
        }),
      send: (to, channel, bytes) => {
        if (!isAlive()) return false;
        this.#send({ from: name, to, channel, bytes });
        return true;
      },
    };
  }

  /** Whom `name` talks with, and takes anything of. */
  setPeers(name: string, peers: readonly string[]): void {
    this.#peers.set(name, new Set(peers));
  }

  disconnect(name: string): void {
    this.#receivers.delete(name);
  }

  /** Loses all between the two, both ways, or from `a` to `b` alone. */
  cut(a: string, b: string, ways: "both" | "one" = "both"): void {
    this.#cut.add(`${a}>${b}`);
    if (ways === "both") this.#cut.add(`${b}>${a}`);
  }

  /** Cuts `name` off from all of `others`. */
  isolate(name: string, others: readonly string[]): void {
    for (const other of others) if (other !== name) this.cut(name, other);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Decides on payloads one by one; `undefined`: as usual. */
  decide(fate: (payload: Payload) => Fate | undefined): void {
    this.#fate = fate;
  }

  #send(payload: Payload): void {
    const { from, to, channel, bytes } = payload;
    if (this.#cut.has(`${from}>${to}`) || !this.#knows(from, to)) return;
    const fate = this.#fate(payload) ?? this.latencyMs;
    if (fate === "drop") return;
    this.sent.push(payload);
    const link = `${from}>${to}/${channel}`;
    // Never ahead of what was sent before on the same link.
    const arrival = Math.max(this.#time.now + fate, this.#lastArrival.get(link) ?? 0);
    this.#lastArrival.set(link, arrival);
    this.#time.scheduler().after(arrival - this.#time.now, () => {
      if (this.#cut.has(`${from}>${to}`) || !this.#knows(to, from)) return;
      this.#receivers.get(to)?.(from, channel, bytes);
    });
  }

  #knows(name: string, peer: string): boolean {
    return this.#peers.get(name)?.has(peer) === true;
  }
}
