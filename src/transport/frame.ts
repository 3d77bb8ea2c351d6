import { assert } from "../stdx/mod.ts";

/**
 * The bytes of a frame:
 *
 *     version 1 | kind 1 | life of the sender 16 | life of the receiver 16 | counter 8 | body
 *
 * A part of a longer message has `total 4 | offset 4` before its body. Everything before the body is
 * authenticated with it; the body is sealed. Numbers are big-endian.
 */

export const WIRE_VERSION = 1;
export const LIFE_BYTES = 16;
const FROM_LIFE_AT = 2;
const TO_LIFE_AT = FROM_LIFE_AT + LIFE_BYTES;
const COUNTER_AT = TO_LIFE_AT + LIFE_BYTES;
export const HEADER_BYTES: number = COUNTER_AT + 8;
/** A part's header. */
export const PART_HEADER_BYTES: number = HEADER_BYTES + 8;

export type FrameKind = "hello" | "message" | "part" | "ping" | "pong" | "claim" | "claimed";

const KINDS: readonly FrameKind[] = [
  "hello",
  "message",
  "part",
  "ping",
  "pong",
  "claim",
  "claimed",
];
const UINT32 = 2 ** 32;

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly fromLife: Uint8Array;
  readonly toLife: Uint8Array;
  readonly counter: number;
  /** Of a part: bytes of the whole message, and where in it this part begins. */
  readonly total: number;
  readonly offset: number;
  /** Where the body begins. */
  readonly bytes: number;
}

/** What is not a frame of this version, and why. */
export type NoFrame =
  { readonly kind: "malformed" } | { readonly kind: "wire-version"; readonly version: number };

/** The header of a frame whose body is sealed with a tag of `tagBytes`. Views into `frame`. */
export function decodeHeader(frame: Uint8Array, tagBytes: number): FrameHeader | NoFrame {
  const version = frame[0] ?? 0;
  if (version > WIRE_VERSION) return { kind: "wire-version", version };
  const kind = KINDS[(frame[1] ?? 0) - 1];
  if (version !== WIRE_VERSION || kind === undefined) return { kind: "malformed" };
  const bytes = headerBytesOf(kind);
  if (frame.length < bytes + tagBytes) return { kind: "malformed" };
  const high = readUint32(frame, COUNTER_AT);
  if (high >= 2 ** 21) return { kind: "malformed" }; // Not a safe integer: nobody counts that far.
  const isPart = kind === "part";
  return {
    kind,
    fromLife: frame.subarray(FROM_LIFE_AT, TO_LIFE_AT),
    toLife: frame.subarray(TO_LIFE_AT, COUNTER_AT),
    counter: high * UINT32 + readUint32(frame, COUNTER_AT + 4),
    total: isPart ? readUint32(frame, HEADER_BYTES) : 0,
    offset: isPart ? readUint32(frame, HEADER_BYTES + 4) : 0,
    bytes,
  };
}

export function headerBytesOf(kind: FrameKind): number {
  return kind === "part" ? PART_HEADER_BYTES : HEADER_BYTES;
}

/** Writes what stays the same in a session: version and lives. */
export function writeLives(
  out: Uint8Array,
  at: number,
  lives: { readonly from: Uint8Array; readonly to: Uint8Array },
): void {
  assert(lives.from.length === LIFE_BYTES && lives.to.length === LIFE_BYTES, "Life of wrong size");
  out[at] = WIRE_VERSION;
  out.set(lives.from, at + FROM_LIFE_AT);
  out.set(lives.to, at + TO_LIFE_AT);
}

/** Writes what differs from frame to frame. */
export function writeKind(out: Uint8Array, at: number, kind: FrameKind, counter: number): void {
  out[at + 1] = KINDS.indexOf(kind) + 1;
  writeUint32(out, at + COUNTER_AT, Math.floor(counter / UINT32));
  writeUint32(out, at + COUNTER_AT + 4, counter % UINT32);
}

export function writePart(out: Uint8Array, at: number, total: number, offset: number): void {
  writeUint32(out, at + HEADER_BYTES, total);
  writeUint32(out, at + HEADER_BYTES + 4, offset);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x1000000 +
    (((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number))
  );
}

function writeUint32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}
