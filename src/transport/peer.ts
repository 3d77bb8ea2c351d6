import { PartJoiner } from "./parts.ts";
import type { Channel, PeerLink } from "./ports.ts";
import { PeerSession, type SessionDeps } from "./session.ts";
import { CHANNELS, subjectOf } from "./subjects.ts";
import { Turns } from "./turns.ts";

const HELLO_MS_MIN = 100;
const HELLO_MS_MAX = 1000;
/** A peer that is heard no more than this is said to be unreachable. */
const SILENT_MS = 3000;
/** Answers to hellos in one second: a broker that repeats hellos gets no more of them. */
const REPLIES_MAX = 50;

/** What is kept for one peer. */
export class Peer {
  readonly name: string;
  readonly session: PeerSession;
  readonly subjects: Readonly<Record<Channel, string>>;
  readonly joiners: Readonly<Record<Channel, PartJoiner>>;
  lastHeard: number | undefined;
  roundTripMs: number | undefined;
  #helloDelay = HELLO_MS_MIN;
  #helloDue = 0;
  #silent = false;
  readonly #replies = new Turns(REPLIES_MAX);

  constructor(name: string, deps: SessionDeps) {
    this.name = name;
    this.session = new PeerSession(name, deps);
    const route = { to: name, from: deps.own };
    this.subjects = byChannel((channel) => subjectOf(deps.place, channel, route));
    this.joiners = byChannel(() => new PartJoiner());
  }

  get link(): PeerLink {
    const { name, lastHeard, roundTripMs } = this;
    return { name, connected: this.session.ready && !this.#silent, lastHeard, roundTripMs };
  }

  /** A frame of it was accepted. Answers whether it was silent before. */
  heard(now: number): boolean {
    this.lastHeard = now;
    const was = this.#silent;
    this.#silent = false;
    return was;
  }

  /** Whether it has just become silent, or is so still. */
  silence(now: number): "heard" | "began" | "lasts" {
    if (!this.session.ready || now - (this.lastHeard ?? now) < SILENT_MS) return "heard";
    const was = this.#silent;
    this.#silent = true;
    return was ? "lasts" : "began";
  }

  /** Whether a hello should go out now; the next is due later and later. */
  takeHelloTurn(now: number): boolean {
    if (now < this.#helloDue) return false;
    this.#helloDue = now + this.#helloDelay;
    this.#helloDelay = Math.min(this.#helloDelay * 2, HELLO_MS_MAX);
    return true;
  }

  /** A hello may go out at once: something changed. */
  hurryHello(): void {
    this.#helloDelay = HELLO_MS_MIN;
    this.#helloDue = 0;
  }

  takeReplyTurn(now: number): boolean {
    return this.#replies.take(now);
  }

  /** Messages under way are given up: their rest will not come. */
  clearParts(): void {
    for (const channel of CHANNELS) this.joiners[channel].clear();
  }

  close(): void {
    this.session.close();
    this.clearParts();
  }
}

function byChannel<T>(make: (channel: Channel) => T): Readonly<Record<Channel, T>> {
  return { raft: make("raft"), fwd: make("fwd"), snap: make("snap") };
}
