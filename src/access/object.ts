import {
  type Key,
  type KeyRange,
  isEmptyRange,
  key,
  keyAfter,
  prefixRange,
  rangeCovers,
  rangesMeet,
} from "../core/types/mod.ts";

/**
 * Objects of policy rows: an exact key, or a prefix followed by one star, last and alone. Nothing
 * regex-like (security.md section 4: casbin's own key matchers can hang or match too much).
 */

// oxlint-disable-next-line no-control-regex -- all of ASCII is meant
const ASCII = /^[\u0000-\u007f]*$/;

/** Every key of the tenant: the object `*`, the prefix that is empty. */
export const ALL_KEYS: KeyRange = { lo: key(""), hi: undefined };

/** The range of one key, given as bytes. */
export function singleKey(bytes: string): KeyRange {
  return { lo: key(bytes), hi: keyAfter(key(bytes)) };
}

/** The keys that `object` (a byte string) names. */
export function objectRange(object: string): KeyRange {
  if (object.endsWith("*")) return prefixRange(key(object.slice(0, -1)));
  return singleKey(object);
}

/**
 * The bytes of an object as rows spell it: rows are text, keys are bytes, and UTF-8 is the one
 * bridge. No normalisation: two spellings are two keys.
 */
export function objectBytes(text: string): string {
  if (ASCII.test(text)) return text;
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Function `keyIn(r.obj, p.obj)` of model.conf: whether `k` is one of the keys of `object`. */
export function keyIn(k: string, object: string): boolean {
  if (object.endsWith("*")) return k.startsWith(object.slice(0, -1));
  return k === object;
}

/**
 * Function `rangeRel(r2.lo, r2.hi, p.obj, p.eft)` of model.conf. An allow row counts if it covers
 * the whole range, any other if it touches it. An empty `hi` means no upper bound.
 */
export function rangeRel(lo: string, hi: string, object: string, effect: string): boolean {
  const range: KeyRange = { lo: key(lo), hi: hi === "" ? undefined : key(hi) };
  const named = objectRange(object);
  return effect === "allow" ? rangeCovers(named, range) : rangesMeet(named, range);
}

/**
 * The range that a request is judged by: itself, unless it is backwards or empty. etcd answers
 * those with nothing; here they need the right to all between their ends, both included, so that no
 * later reading of such a range can reach what was not checked.
 */
export function judgedRange(range: KeyRange): KeyRange {
  if (!isEmptyRange(range)) return range;
  return { lo: range.hi as Key, hi: keyAfter(range.lo) };
}
