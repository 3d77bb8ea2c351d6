import { type Key, key } from "./ids.ts";
import { prefixEnd } from "../../stdx/mod.ts";

/**
 * A set of keys as etcd's requests spell it (key and range_end), made plain: `lo` inclusive, `hi`
 * exclusive; `hi` undefined means no upper bound.
 */
export interface KeyRange {
  readonly lo: Key;
  readonly hi: Key | undefined;
}

/** range_end of "all keys from key on" (etcd rpc.proto RangeRequest.range_end). */
export const FROM_KEY: Key = key("\0");

/** The successor of a key: the smallest key greater than it. */
export function keyAfter(k: Key): Key {
  return key(`${k}\0`);
}

/**
 * The range that `k` and `rangeEnd` name: "" is the single key; "\0" all keys from `k`; an end at or
 * below the key is an empty range.
 */
export function keyRange(k: Key, rangeEnd: Key): KeyRange {
  if (rangeEnd === "") return { lo: k, hi: keyAfter(k) };
  if (rangeEnd === FROM_KEY) return { lo: k, hi: undefined };
  return { lo: k, hi: rangeEnd };
}

/** The range of all keys that start with `prefix`. */
export function prefixRange(prefix: Key): KeyRange {
  const hi = prefixEnd(prefix);
  return { lo: prefix, hi: hi === undefined ? undefined : key(hi) };
}

export function isSingleKey(range: KeyRange): boolean {
  return range.hi !== undefined && range.hi === `${range.lo}\0`;
}

export function isEmptyRange(range: KeyRange): boolean {
  return range.hi !== undefined && range.hi <= range.lo;
}

export function rangeHas(range: KeyRange, k: Key): boolean {
  return k >= range.lo && (range.hi === undefined || k < range.hi);
}

/** Whether `outer` holds every key of `inner`. An empty inner range is held by all. */
export function rangeCovers(outer: KeyRange, inner: KeyRange): boolean {
  if (isEmptyRange(inner)) return true;
  if (inner.lo < outer.lo) return false;
  if (outer.hi === undefined) return true;
  return inner.hi !== undefined && inner.hi <= outer.hi;
}

/** Whether some key is in both. */
export function rangesMeet(a: KeyRange, b: KeyRange): boolean {
  if (isEmptyRange(a) || isEmptyRange(b)) return false;
  return (a.hi === undefined || b.lo < a.hi) && (b.hi === undefined || a.lo < b.hi);
}
