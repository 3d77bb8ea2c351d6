import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** What the transport needs of others, and what it offers. */

/** Raft messages, forwarded requests, snapshot streams: each is in order, and apart from the others. */
export type Channel = "raft" | "fwd" | "snap";

/**
 * A key of frames in one direction between two lives of members. Sealing is ChaCha20-Poly1305 with
 * `counter` as its nonce.
 */
export interface FrameKey {
  /**
   * Seals `plaintext` into `out`, which is `tagBytes` longer. Each counter may serve once and must be
   * above the last one.
   */
  seal(counter: number, aad: Uint8Array, plaintext: Uint8Array, out: Uint8Array): void;
  /** The plaintext, in memory of its own, or `undefined` if it was not sealed with this. */
  open(counter: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** Wipes it. */
  close(): void;
}

/** Who seals for whom, in which lives; a life is 16 bytes. */
export interface FrameKeyScope {
  readonly from: string;
  readonly to: string;
  readonly fromLife: Uint8Array;
  readonly toLife: Uint8Array;
}

/** Derives the keys of frames. It holds the cluster's transport key; this room never sees a key. */
export interface FrameCrypto {
  readonly tagBytes: number;
  derive(scope: FrameKeyScope): FrameKey;
}

/**
 * Why a frame was refused.
 *
 * - `wire-version`: written by a newer build
 * - `malformed`: no frame at all
 * - `unknown-peer`: from a name that is no peer
 * - `not-authentic`: altered, sealed for another subject, or under another root key
 * - `life`: of a start of sender or receiver that is over, or not yet known
 * - `counter`: at or below the last one: replayed, or overtaken by a later one
 * - `too-large`: parts of a message over the bound
 */
export type RefusalReason =
  | "wire-version"
  | "malformed"
  | "unknown-peer"
  | "not-authentic"
  | "life"
  | "counter"
  | "too-large";

/** Told of every frame; must be quick and not throw. */
export interface TransportObserver {
  /** One frame went to NATS; `bytes` of it, sealed. */
  sent(peer: string, channel: Channel, bytes: number): void;
  /** One frame was accepted. */
  received(peer: string, channel: Channel, bytes: number): void;
  refused(reason: RefusalReason): void;
  roundTrip(peer: string, ms: number): void;
}

/** Paths of PEM files. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TransportOptions {
  readonly name: string;
  /** The cluster id in 16 hex digits. */
  readonly cluster: string;
  /** The Raft group: "g0". */
  readonly group: string;
  /** "tls://host:4222", one or several. */
  readonly servers: readonly string[];
  /** Read for each connection. */
  readonly tls: TlsFiles;
  readonly crypto: FrameCrypto;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: (bytes: number) => Uint8Array;
  /** `payload` is the receiver's own. What this throws stops the process. */
  readonly onMessage: (from: string, channel: Channel, payload: Uint8Array) => void;
  /** Never called from within `send`. */
  readonly onUnreachable: (name: string) => void;
  readonly observer: TransportObserver;
}

/** What is known of the way to one peer. */
export interface PeerLink {
  readonly name: string;
  /** Both know each other's life, and the peer was heard of late. */
  readonly connected: boolean;
  readonly roundTripMs: number | undefined;
  /** Milliseconds since the epoch, by the clock given. */
  readonly lastHeard: number | undefined;
}

export interface Transport {
  /**
   * In order per peer and channel, at most once, perhaps never. False if it was dropped at once: no
   * session with that peer, not connected, or too much unsent. Never throws.
   */
  send(to: string, channel: Channel, payload: Uint8Array): boolean;
  /** Calls back, in this turn of the event loop but not at once, when what was sent so far is written. */
  afterSends(work: () => void): void;
  /** Frames may be sent to and are accepted from these names only. */
  setPeers(names: readonly string[]): void;
  peers(): readonly PeerLink[];
  /** Whether there is a connection to NATS now, and to which of the servers. */
  readonly connected: boolean;
  readonly server: string | undefined;
  /** Reads the certificate files anew: the next connection uses them. */
  reload(): void;
  /** Hands what is unsent to NATS, then ends. Nothing is called back after it. */
  stop(): Promise<void>;
}
