import { assert } from "../stdx/mod.ts";
import { authenticatedData, type AuthenticatedData, type ByChannel } from "./authenticated-data.ts";
import {
  LIFE_BYTES,
  decodeHeader,
  headerBytesOf,
  writeKind,
  writeLives,
  writePart,
  type FrameHeader,
  type FrameKind,
} from "./frame.ts";
import type { Channel, FrameCrypto, FrameKey, RefusalReason } from "./ports.ts";
import type { Place } from "./subjects.ts";

/**
 * The session of this member with one peer.
 *
 *     unknown --hello that echoes our challenge--> ready --the same, of another life--> ready
 *
 * A life is 16 random bytes that one start of a member draws for one peer. A hello tells the
 * sender's life and challenge, and echoes the receiver's challenge. Only who echoes a challenge that
 * is still open has just been heard, so an old hello that the broker kept back changes nothing. The
 * keys of a session follow from both lives, and a life that was replaced is never taken again:
 * frames of an earlier session cannot come back in a later one.
 */

/** The receiver's life in a frame that is for whichever life it is in. */
export const NO_LIFE: Uint8Array = new Uint8Array(LIFE_BYTES);
const CHALLENGE_BYTES = 16;
const HELLO_BYTES = CHALLENGE_BYTES * 2 + 1;
/** A peer that was started more often during our own life: we begin a new life too. */
const RETIRED_MAX = 1024;

/** The channel of what members tell each other about the session itself. */
export const CONTROL_CHANNEL: Channel = "raft";

export interface SessionDeps {
  readonly place: Place;
  readonly own: string;
  readonly crypto: FrameCrypto;
  readonly random: (bytes: number) => Uint8Array;
}

export type Opened =
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly version?: number }
  /**
   * `reply` is to be sent; `began` if the peer's life is another than before. Only one that is `proven`
   * was said just now: any other may have been kept back by the broker.
   */
  | {
      readonly kind: "hello";
      readonly began: boolean;
      readonly proven: boolean;
      readonly reply: Uint8Array | undefined;
    }
  | { readonly kind: "body"; readonly header: FrameHeader; readonly body: Uint8Array };

interface Established {
  readonly life: Uint8Array;
  readonly sendKey: FrameKey;
  readonly receiveKey: FrameKey;
  /** Counter of the last frame accepted. Invariant: only goes up. */
  received: number;
}

interface HelloKey {
  readonly life: Uint8Array;
  readonly key: FrameKey;
  received: number;
}

export class PeerSession {
  readonly name: string;
  readonly #deps: SessionDeps;
  readonly #outbound: ByChannel;
  readonly #inbound: ByChannel;
  readonly #retired = new Set<string>();
  #life!: Uint8Array;
  #helloKey!: FrameKey;
  #challenge!: Uint8Array;
  /** Of all frames of this life, whatever the peer's: so no key sees a counter twice. */
  #counter = 0;
  #established: Established | undefined;
  #peerHello: HelloKey | undefined;

  constructor(name: string, deps: SessionDeps) {
    this.name = name;
    this.#deps = deps;
    const { place, own } = deps;
    this.#outbound = authenticatedData(place, { from: own, to: name });
    this.#inbound = authenticatedData(place, { from: name, to: own });
    this.#beginLife();
  }

  /** Whether frames can be sealed. */
  get ready(): boolean {
    return this.#established !== undefined;
  }

  /** A frame; `part` says where in a longer message `body` belongs. The session must be ready. */
  seal(
    channel: Channel,
    kind: FrameKind,
    body: Uint8Array,
    part?: { readonly total: number; readonly offset: number },
  ): Uint8Array {
    assert(this.#established !== undefined, "No session with this peer");
    const data = this.#outbound[channel];
    if (part !== undefined) writePart(data.withPart, data.headerAt, part.total, part.offset);
    return this.#sealed(data, this.#established.sendKey, kind, body);
  }

  /** A hello that asks the peer to answer. */
  hello(): Uint8Array {
    return this.#hello(new Uint8Array(CHALLENGE_BYTES), true);
  }

  /** Checks a frame that came on a channel's subject from this peer. */
  open(channel: Channel, frame: Uint8Array): Opened {
    const header = decodeHeader(frame, this.#deps.crypto.tagBytes);
    switch (header.kind) {
      case "malformed":
        return refused("malformed");
      case "wire-version":
        return { ...refused("wire-version"), version: header.version };
      case "hello":
        return this.#openHello(channel, frame, header);
      case "claim":
      case "claimed":
        return refused("malformed"); // A member says these to itself only.
      default:
        return this.#openBody(channel, frame, header);
    }
  }

  close(): void {
    this.#helloKey.close();
    this.#peerHello?.key.close();
    this.#drop();
  }

  #openBody(channel: Channel, frame: Uint8Array, header: FrameHeader): Opened {
    const session = this.#established;
    if (session === undefined) return refused("life");
    if (!sameBytes(header.toLife, this.#life) || !sameBytes(header.fromLife, session.life)) {
      return refused("life");
    }
    if (header.counter <= session.received) return refused("counter");
    const body = this.#opened(session.receiveKey, channel, frame, header);
    if (body === undefined) return refused("not-authentic");
    session.received = header.counter;
    return { kind: "body", header, body };
  }

  #openHello(channel: Channel, frame: Uint8Array, header: FrameHeader): Opened {
    // Before any key is derived: anybody with the sender's certificate can send a megabyte.
    const wanted = header.bytes + HELLO_BYTES + this.#deps.crypto.tagBytes;
    if (frame.length !== wanted) return refused("malformed");
    if (this.#retired.has(hexOf(header.fromLife))) return refused("life");
    const known = this.#peerHello;
    const isKnown = known !== undefined && sameBytes(known.life, header.fromLife);
    if (isKnown && header.counter <= known.received) return refused("counter");
    const hello = isKnown ? known : this.#helloKeyOf(header.fromLife.slice());
    const body = this.#opened(hello.key, channel, frame, header);
    if (body === undefined) {
      if (!isKnown) hello.key.close();
      return refused("not-authentic");
    }
    if (!isKnown) {
      known?.key.close();
      this.#peerHello = hello;
    }
    hello.received = header.counter;
    return this.#answer(hello.life, body);
  }

  /** Takes a new life if it was proven, and proves ours if it is asked for. */
  #answer(life: Uint8Array, body: Uint8Array): Opened {
    const challenge = body.subarray(0, CHALLENGE_BYTES);
    const echo = body.subarray(CHALLENGE_BYTES, CHALLENGE_BYTES * 2);
    const wantsProof = body[CHALLENGE_BYTES * 2] === 1;
    const proven = sameBytes(echo, this.#challenge);
    let began = false;
    if (proven) {
      this.#challenge = this.#deps.random(CHALLENGE_BYTES);
      if (!this.#isEstablished(life)) {
        this.#establish(life);
        began = this.#isEstablished(life);
      }
    }
    const reply = wantsProof ? this.#hello(challenge, !this.#isEstablished(life)) : undefined;
    return { kind: "hello", began, proven, reply };
  }

  #isEstablished(life: Uint8Array): boolean {
    return this.#established !== undefined && sameBytes(this.#established.life, life);
  }

  #establish(life: Uint8Array): void {
    if (this.#established !== undefined) {
      this.#retired.add(hexOf(this.#established.life));
      this.#drop();
    }
    if (this.#retired.size > RETIRED_MAX) {
      this.#helloKey.close();
      this.#retired.clear();
      this.#beginLife();
      return; // The next hello tells the new life, and then this peer is taken again.
    }
    const { own, crypto } = this.#deps;
    const ours = { from: own, to: this.name, fromLife: this.#life, toLife: life };
    const theirs = { from: this.name, to: own, fromLife: life, toLife: this.#life };
    this.#established = {
      life,
      sendKey: crypto.derive(ours),
      receiveKey: crypto.derive(theirs),
      received: 0,
    };
    for (const data of Object.values(this.#outbound)) {
      writeLives(data.withPart, data.headerAt, { from: this.#life, to: life });
    }
  }

  #beginLife(): void {
    const { own, crypto, random } = this.#deps;
    this.#life = random(LIFE_BYTES);
    this.#challenge = random(CHALLENGE_BYTES);
    this.#counter = 0;
    this.#helloKey = crypto.derive({
      from: own,
      to: this.name,
      fromLife: this.#life,
      toLife: NO_LIFE,
    });
  }

  #hello(echo: Uint8Array, wantsProof: boolean): Uint8Array {
    const body = new Uint8Array(HELLO_BYTES);
    body.set(this.#challenge);
    body.set(echo, CHALLENGE_BYTES);
    body[CHALLENGE_BYTES * 2] = wantsProof ? 1 : 0;
    const data = this.#outbound[CONTROL_CHANNEL];
    writeLives(data.withPart, data.headerAt, { from: this.#life, to: NO_LIFE });
    const frame = this.#sealed(data, this.#helloKey, "hello", body);
    const to = this.#established?.life ?? NO_LIFE;
    writeLives(data.withPart, data.headerAt, { from: this.#life, to });
    return frame;
  }

  #sealed(data: AuthenticatedData, key: FrameKey, kind: FrameKind, body: Uint8Array): Uint8Array {
    const counter = ++this.#counter;
    const headerBytes = headerBytesOf(kind);
    const { tagBytes } = this.#deps.crypto;
    writeKind(data.withPart, data.headerAt, kind, counter);
    const frame = Buffer.allocUnsafe(headerBytes + body.length + tagBytes);
    frame.set(kind === "part" ? data.partHeader : data.header);
    key.seal(
      counter,
      kind === "part" ? data.withPart : data.plain,
      body,
      frame.subarray(headerBytes),
    );
    return frame;
  }

  #opened(
    key: FrameKey,
    channel: Channel,
    frame: Uint8Array,
    header: FrameHeader,
  ): Uint8Array | undefined {
    const data = this.#inbound[channel];
    data.withPart.set(frame.subarray(0, header.bytes), data.headerAt);
    const aad = header.kind === "part" ? data.withPart : data.plain;
    return key.open(header.counter, aad, frame.subarray(header.bytes));
  }

  #helloKeyOf(life: Uint8Array): HelloKey {
    const { own, crypto } = this.#deps;
    const scope = { from: this.name, to: own, fromLife: life, toLife: NO_LIFE };
    return { life, key: crypto.derive(scope), received: 0 };
  }

  #drop(): void {
    this.#established?.sendKey.close();
    this.#established?.receiveKey.close();
    this.#established = undefined;
  }
}

function refused(reason: RefusalReason): {
  readonly kind: "refused";
  readonly reason: RefusalReason;
} {
  return { kind: "refused", reason };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
