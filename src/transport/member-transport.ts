import { watchFiles } from "../pki/mod.ts";
import { Connection } from "./connection.ts";
import { PART_HEADER_BYTES, type FrameKind } from "./frame.ts";
import { NameClaim } from "./name-claim.ts";
import { MESSAGE_BYTES_MAX } from "./parts.ts";
import { Peer } from "./peer.ts";
import type { Channel, PeerLink, Transport, TransportOptions } from "./ports.ts";
import { RefusalLog } from "./refusal-log.ts";
import { CONTROL_CHANNEL, type Opened, type SessionDeps } from "./session.ts";
import { CHANNELS, isMemberName, subjectOf } from "./subjects.ts";
import { Turns } from "./turns.ts";

const TICK_MS = 100;
/** Each peer is pinged every so many ticks. */
const TICKS_PER_PING = 10;
/** Larger parts would keep other channels waiting. */
const FRAME_BYTES_MAX = 1024 * 1024;
/** Bytes that NATS has not confirmed to have read, at which a channel is refused. */
const UNCONFIRMED_BYTES_MAX: Readonly<Record<Channel, number>> = {
  raft: 32 * 1024 * 1024,
  fwd: 24 * 1024 * 1024,
  // Raft goes on while a snapshot waits.
  snap: 8 * 1024 * 1024,
};
const PING_BYTES = 8;
/** Answers in one second to claims of this member's own name, and how often they are spoken of. */
const CLAIM_ANSWERS_MAX = 50;
const CLAIM_QUIET_MS = 10_000;

interface Route {
  readonly peer: Peer;
  readonly channel: Channel;
}

type Body = Extract<Opened, { readonly kind: "body" }>;

export class MemberTransport implements Transport {
  readonly #options: TransportOptions;
  readonly #deps: SessionDeps;
  readonly #connection: Connection;
  readonly #refusals: RefusalLog;
  readonly #claim: NameClaim;
  readonly #claimAnswers = new Turns(CLAIM_ANSWERS_MAX);
  #claimSaidAt = Number.NEGATIVE_INFINITY;
  readonly #selfSubject: string;
  readonly #peers = new Map<string, Peer>();
  /** Whether the peers have been set; until then nobody is known, and frames of members come. */
  #knowsPeers = false;
  /** By the subject on which a frame comes. */
  readonly #routes = new Map<string, Route>();
  readonly #unreachable = new Set<string>();
  #endWatchingFiles: () => void = () => undefined;
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Told of the claim's outcome while the name is claimed. */
  #onTaken: (() => void) | undefined;
  /** Told when a connection is made. */
  #onUp: (() => void) | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    const { name: own, crypto, random, cluster, group } = options;
    this.#deps = { place: { cluster, group }, own, crypto, random };
    this.#refusals = new RefusalLog(options);
    this.#claim = new NameClaim(this.#deps);
    this.#selfSubject = subjectOf(this.#deps.place, CONTROL_CHANNEL, { to: own, from: own });
    this.#connection = new Connection(options, {
      onUp: () => this.#up(),
      onFrame: (subject, frame) => this.#receive(subject, frame),
    });
  }

  get connected(): boolean {
    return this.#connection.link !== undefined;
  }

  get server(): string | undefined {
    return this.#connection.link?.server;
  }

  /** Begins to connect. */
  start(): void {
    this.#connection.start();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
    const { ca, cert, key } = this.#options.tls;
    this.#endWatchingFiles = watchFiles([ca, cert, key], () => this.reload());
  }

  /** What to call when a connection is made. */
  whenUp(listener: (() => void) | undefined): void {
    this.#onUp = listener;
    if (this.connected) listener?.();
  }

  /** Asks who runs under this name; `onTaken` is called if it is another. */
  claimName(onTaken: (() => void) | undefined): void {
    this.#onTaken = onTaken;
    this.#connection.link?.publish(this.#selfSubject, this.#claim.claim());
  }

  /** The name is ours: from here on frames go to peers. */
  holdName(): void {
    this.#onTaken = undefined;
    this.#claim.hold();
    this.#greet();
  }

  send(to: string, channel: Channel, payload: Uint8Array): boolean {
    const peer = this.#peers.get(to);
    const link = this.#connection.link;
    if (peer === undefined || this.#stopped) return false;
    if (link === undefined || !peer.session.ready) {
      this.#tellUnreachable(to);
      return false;
    }
    if (link.unconfirmedBytes > UNCONFIRMED_BYTES_MAX[channel]) return false;
    const { tagBytes } = this.#options.crypto;
    const bodyBytesMax = Math.min(link.maxPayload, FRAME_BYTES_MAX) - PART_HEADER_BYTES - tagBytes;
    if (payload.length <= bodyBytesMax) {
      return this.#publish(peer, channel, peer.session.seal(channel, "message", payload));
    }
    return this.#sendParts(peer, channel, payload, bodyBytesMax);
  }

  afterSends(work: () => void): void {
    // The NATS client writes what it is given in a microtask that it asks for with the first of it.
    queueMicrotask(work);
  }

  setPeers(names: readonly string[]): void {
    this.#knowsPeers = true;
    const wanted = new Set(names.filter((name) => name !== this.#options.name));
    for (const peer of this.#peers.values()) if (!wanted.has(peer.name)) this.#removePeer(peer);
    for (const name of wanted) {
      if (!isMemberName(name)) {
        this.#options.log.error("a member's name cannot stand in a subject", { name });
      } else if (!this.#peers.has(name)) {
        this.#addPeer(name);
      }
    }
  }

  peers(): readonly PeerLink[] {
    return [...this.#peers.values()].map((peer) => peer.link);
  }

  reload(): void {
    if (!this.#stopped) this.#connection.reload();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#endWatchingFiles();
    await this.#connection.stop();
    for (const peer of this.#peers.values()) this.#removePeer(peer);
  }

  #addPeer(name: string): void {
    const peer = new Peer(name, this.#deps);
    this.#peers.set(name, peer);
    for (const channel of CHANNELS) {
      const route = { to: this.#options.name, from: name };
      this.#routes.set(subjectOf(this.#deps.place, channel, route), { peer, channel });
    }
    this.#hello(peer);
  }

  #removePeer(peer: Peer): void {
    this.#peers.delete(peer.name);
    for (const [subject, route] of this.#routes) {
      if (route.peer === peer) this.#routes.delete(subject);
    }
    peer.close();
  }

  #sendParts(peer: Peer, channel: Channel, payload: Uint8Array, bytesMax: number): boolean {
    const total = payload.length;
    if (total > MESSAGE_BYTES_MAX) {
      this.#options.log.error("a message is above the bound and was not sent", { bytes: total });
      return false;
    }
    for (let offset = 0; offset < total; offset += bytesMax) {
      const body = payload.subarray(offset, offset + bytesMax);
      const frame = peer.session.seal(channel, "part", body, { total, offset });
      if (!this.#publish(peer, channel, frame)) return false;
    }
    return true;
  }

  #publish(peer: Peer, channel: Channel, frame: Uint8Array): boolean {
    const sent = this.#connection.link?.publish(peer.subjects[channel], frame) ?? false;
    if (sent) this.#options.observer.sent(peer.name, channel, frame.length);
    return sent;
  }

  #receive(subject: string, frame: Uint8Array): void {
    if (this.#stopped) return;
    const route = this.#routes.get(subject);
    if (route === undefined) {
      this.#receiveFromStranger(subject, frame);
      return;
    }
    const { peer, channel } = route;
    const opened = peer.session.open(channel, frame);
    switch (opened.kind) {
      case "refused":
        this.#refusals.add({ ...opened, from: peer.name });
        // It may talk to a life of ours that is over, or from one that we have not been told of.
        if (opened.reason === "life") this.#hello(peer);
        return;
      case "hello":
        this.#answerHello(peer, opened);
        return;
      case "body":
        this.#options.observer.received(peer.name, channel, frame.length);
        this.#heard(peer);
        this.#take(peer, channel, opened);
    }
  }

  #answerHello(peer: Peer, opened: Extract<Opened, { readonly kind: "hello" }>): void {
    const { reply, proven } = opened;
    if (proven) this.#heard(peer);
    if (reply !== undefined && peer.takeReplyTurn(this.#now())) {
      this.#publish(peer, CONTROL_CHANNEL, reply);
    }
    if (!opened.began) return;
    peer.clearParts();
    this.#options.log.info("session with a member began", { peer: peer.name });
    this.#ping(peer);
  }

  #take(peer: Peer, channel: Channel, { header, body }: Body): void {
    switch (header.kind) {
      case "message":
        peer.joiners[channel].clear(); // What is under way lacks a part that was sent before this.
        this.#options.onMessage(peer.name, channel, body);
        return;
      case "part": {
        const joined = peer.joiners[channel].add(body, header.total, header.offset);
        if (joined.kind === "whole") {
          this.#options.onMessage(peer.name, channel, joined.message);
        } else if (joined.kind === "too-large") {
          this.#refusals.add({ reason: "too-large", from: peer.name });
        }
        return;
      }
      case "ping":
        this.#sendControl(peer, "pong", body);
        return;
      case "pong":
        this.#takePong(peer, body);
        return;
      default:
        this.#refusals.add({ reason: "malformed", from: peer.name });
    }
  }

  /** The body is what was in the ping: when it was sent, by this process's clock. */
  #takePong(peer: Peer, body: Uint8Array): void {
    if (body.length !== PING_BYTES) return;
    const view = new DataView(body.buffer, body.byteOffset, PING_BYTES);
    const ms = performance.now() - view.getFloat64(0);
    if (!(ms >= 0)) return;
    peer.roundTripMs = ms;
    this.#options.observer.roundTrip(peer.name, ms);
  }

  #receiveFromStranger(subject: string, frame: Uint8Array): void {
    const from = subject.slice(subject.lastIndexOf(".") + 1);
    if (subject !== this.#selfSubject) {
      this.#refusals.add({ reason: "unknown-peer", from, early: !this.#knowsPeers });
      return;
    }
    const received = this.#claim.receive(frame);
    switch (received.kind) {
      case "refused":
        this.#refusals.add({ ...received, from });
        return;
      case "other":
      case "doubt":
        if (!this.#claimAnswers.take(this.#now())) return;
        for (const reply of received.replies) {
          this.#connection.link?.publish(this.#selfSubject, reply);
        }
        if (received.kind === "doubt" || this.#hasSaid()) return;
        this.#options.log.warn(
          `another process tried to start as member '${from}', which runs here; it was told so`,
        );
        return;
      case "taken":
        if (this.#onTaken !== undefined) this.#onTaken();
        else if (!this.#hasSaid()) {
          this.#options.log.error(`two processes run as member '${from}'; stop one of them`);
        }
        return;
      case "none":
    }
  }

  /** Whether the log has been told of late: frames of claims can be sent again and again. */
  #hasSaid(): boolean {
    if (this.#now() - this.#claimSaidAt < CLAIM_QUIET_MS) return true;
    this.#claimSaidAt = this.#now();
    return false;
  }

  #heard(peer: Peer): void {
    if (!peer.heard(this.#now())) return;
    this.#options.log.info("a member is heard again", { peer: peer.name });
  }

  #up(): void {
    for (const peer of this.#peers.values()) peer.hurryHello();
    if (this.#claim.held) {
      this.claimName(undefined);
      this.#greet();
    }
    this.#onUp?.();
  }

  #greet(): void {
    for (const peer of this.#peers.values()) {
      if (peer.session.ready) this.#ping(peer);
      else this.#hello(peer);
    }
  }

  #hello(peer: Peer): void {
    if (!this.connected || !this.#claim.held || !peer.takeHelloTurn(this.#now())) return;
    this.#publish(peer, CONTROL_CHANNEL, peer.session.hello());
  }

  #ping(peer: Peer): void {
    const body = new Uint8Array(PING_BYTES);
    new DataView(body.buffer).setFloat64(0, performance.now());
    this.#sendControl(peer, "ping", body);
  }

  #sendControl(peer: Peer, kind: FrameKind, body: Uint8Array): void {
    if (!this.connected || !peer.session.ready) return;
    this.#publish(peer, CONTROL_CHANNEL, peer.session.seal(CONTROL_CHANNEL, kind, body));
  }

  #tick(): void {
    this.#ticks++;
    const pings = this.#ticks % TICKS_PER_PING === 0;
    for (const peer of this.#peers.values()) {
      if (!peer.session.ready) this.#hello(peer);
      else if (pings) this.#checkPeer(peer);
    }
  }

  #checkPeer(peer: Peer): void {
    const silence = peer.silence(this.#now());
    if (silence === "began") {
      this.#options.log.warn("a member is not heard any more", { peer: peer.name });
      peer.hurryHello();
    }
    if (silence !== "heard") {
      this.#tellUnreachable(peer.name);
      this.#hello(peer);
    }
    this.#ping(peer);
  }

  /** Later, and once for each turn: the caller of `send` is not called back from within it. */
  #tellUnreachable(name: string): void {
    if (this.#unreachable.size === 0) {
      setImmediate(() => {
        const names = [...this.#unreachable];
        this.#unreachable.clear();
        if (!this.#stopped) for (const one of names) this.#options.onUnreachable(one);
      });
    }
    this.#unreachable.add(name);
  }

  #now(): number {
    return this.#options.clock.now();
  }
}
