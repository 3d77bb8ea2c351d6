import {
  FROM_KEY,
  type Key,
  key,
  leaseId,
  type LeaseId,
  prefixRange,
  type KeyRange,
} from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { bytesOf } from "../stdx/mod.ts";

/** The key of an argument: the bytes of its UTF-8. */
export function keyOf(argument: string): Key {
  return key(Buffer.from(argument, "utf8").toString("latin1"));
}

export function bytesOfKey(k: Key): Uint8Array {
  return bytesOf(k);
}

export function base64OfKey(k: Key): string {
  return Buffer.from(k, "latin1").toString("base64");
}

/** How a command names the keys it works on. */
export interface Target {
  readonly key: Key;
  readonly rangeEnd: Key;
}

export interface TargetFlags {
  readonly prefix?: boolean | undefined;
  readonly fromKey?: boolean | undefined;
}

const NO_END = key("");
const FIRST_KEY = key("\0");

/** `KEY [RANGE_END]` with `--prefix` or `--from-key`, as etcdctl reads them. */
export function targetOf(
  [first = key(""), end]: readonly Key[],
  { prefix = false, fromKey = false }: TargetFlags,
): Target {
  if (prefix && fromKey) throw mistake("--prefix and --from-key exclude each other");
  if (end !== undefined && (prefix || fromKey)) {
    throw mistake("RANGE_END goes without --prefix and --from-key");
  }
  if (end !== undefined) return { key: first, rangeEnd: end };
  // An empty key is refused by servers; the first key that can be is one NUL byte.
  if ((prefix || fromKey) && first === "") return { key: FIRST_KEY, rangeEnd: FROM_KEY };
  if (fromKey) return { key: first, rangeEnd: FROM_KEY };
  return { key: first, rangeEnd: prefix ? endOf(prefixRange(first)) : NO_END };
}

function endOf(range: KeyRange): Key {
  return range.hi ?? FROM_KEY;
}

/** A lease id as etcdctl prints it: 16 hex digits. */
export function leaseText(id: LeaseId): string {
  return BigInt.asUintN(64, id).toString(16).padStart(16, "0");
}

/** The id of a member or a cluster as etcdctl, the audit log and the members' own logs have it: hex digits, unpadded. */
export function idText(id: bigint): string {
  return id.toString(16);
}

/** The lease id of its hex form. Throws CofferError `invalid-argument`. */
export function parseLease(text: string): LeaseId {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text)) {
    throw mistake(`${JSON.stringify(text)} is not a lease id of up to 16 hex digits`);
  }
  return leaseId(BigInt(`0x${text}`));
}

/** A mistake in how the command was called. */
export function mistake(detail: string): CofferError {
  return new CofferError("invalid-argument", detail);
}
