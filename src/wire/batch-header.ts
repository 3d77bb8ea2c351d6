import type { MemberId } from "../core/types/mod.ts";
import { memberId } from "../core/types/mod.ts";
import { assert } from "../stdx/mod.ts";
import { CofferError } from "../errors.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { PROPOSALS_VERSION } from "./limits.ts";

/**
 * What stands in front of a batch of proposals, at fixed places (versions 2 and 3, big-endian):
 *
 *     version: u8 | time: u64 | leaseTime: u64 | origin: u64 | life: u32 | seq: u32
 *
 * So the leader, whose clock alone counts, sets the times in a batch that another member encoded,
 * without a look at the proposals.
 */
export interface BatchHeader {
  /** Milliseconds since the epoch at the leader: for people. */
  readonly time: number;
  /** Milliseconds of the cluster's lease clock. */
  readonly leaseTime: number;
  /** The member that gathered the batch; with `life` and `seq` it names the batch. */
  readonly origin: MemberId;
  /** Drawn by that member when it started; 32 bits. */
  readonly life: number;
  /** Counted up by it; 32 bits. */
  readonly seq: number;
}

const TIME_AT = 1;
const LEASE_TIME_AT = 9;
const ORIGIN_AT = 17;
const LIFE_AT = 25;
const SEQ_AT = 29;

/** Where the proposals begin. */
export const BATCH_HEADER_BYTES = 33;

const U32 = 2 ** 32;

/** Sets both times of an encoded batch, in place. Asserts that it is of this build's version. */
export function stampTimes(bytes: Uint8Array, time: number, leaseTime: number): void {
  assert(
    bytes.length >= BATCH_HEADER_BYTES && bytes[0] === PROPOSALS_VERSION,
    "A batch without a header was given times",
  );
  const view = viewOf(bytes);
  writeTime(view, TIME_AT, time);
  writeTime(view, LEASE_TIME_AT, leaseTime);
}

/** Writes the header, which begins the batch. */
export function writeHeader(to: ByteWriter, header: BatchHeader): void {
  checkTime(header.time);
  checkTime(header.leaseTime);
  to.byte(PROPOSALS_VERSION);
  to.uint32(Math.floor(header.time / U32));
  to.uint32(header.time % U32);
  to.uint32(Math.floor(header.leaseTime / U32));
  to.uint32(header.leaseTime % U32);
  to.uint64(header.origin);
  to.uint32(header.life);
  to.uint32(header.seq);
}

/**
 * The header of an encoded batch of this build's version. Errors: `corrupt` for anything malformed,
 * `unimplemented` for another version.
 */
export function decodeHeader(bytes: Uint8Array): BatchHeader {
  return readHeader(bytes, PROPOSALS_VERSION).header;
}

/** As `decodeHeader`, of a version from `oldest` on. Version 1 had no header, and was never released. */
export function readHeader(
  bytes: Uint8Array,
  oldest: number,
): { readonly header: BatchHeader; readonly version: number } {
  const version = bytes[0] ?? PROPOSALS_VERSION;
  if (version < oldest || version > PROPOSALS_VERSION) throw unknownVersion(version, oldest);
  if (bytes.length < BATCH_HEADER_BYTES) throw malformed("it ends in its header");
  const view = viewOf(bytes);
  const header = {
    time: readTime(view, TIME_AT),
    leaseTime: readTime(view, LEASE_TIME_AT),
    origin: memberId(view.getBigUint64(ORIGIN_AT)),
    life: view.getUint32(LIFE_AT),
    seq: view.getUint32(SEQ_AT),
  };
  return { header, version };
}

function unknownVersion(version: number, oldest: number): CofferError {
  const known = oldest === PROPOSALS_VERSION ? `${oldest}` : `${oldest} to ${PROPOSALS_VERSION}`;
  return new CofferError(
    "unimplemented",
    `a batch of the log has format version ${version}, but this build of Coffer reads version ` +
      `${known}; run the same version of Coffer on all members, the one that wrote the log, or start ` +
      "afresh: coffer dev --reset, or another --data-dir",
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function checkTime(time: number): void {
  if (!Number.isSafeInteger(time) || time < 0) {
    throw new CofferError("invalid-argument", "a time is not an integer from 0 to 2^53 - 1");
  }
}

function writeTime(view: DataView, at: number, time: number): void {
  checkTime(time);
  view.setUint32(at, Math.floor(time / U32));
  view.setUint32(at + 4, time % U32);
}

function readTime(view: DataView, at: number): number {
  const time = view.getUint32(at) * U32 + view.getUint32(at + 4);
  if (!Number.isSafeInteger(time)) throw malformed("a time is 2^53 or more");
  return time;
}

function malformed(why: string): CofferError {
  return new CofferError("corrupt", `a batch of proposals cannot be read: ${why}`);
}
