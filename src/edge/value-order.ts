import type { CompareResult, KeyValue, RangeRequest, RangeResult } from "../core/types/mod.ts";

/**
 * What etcd decides by value and the blind core cannot: the order of a range by VALUE and a
 * comparison with VALUE. Both work on opened values.
 */

/** Byte order of two values: negative, zero or positive. */
export function compareValues(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function isSortedByValue(request: RangeRequest): boolean {
  return request.sortTarget === "value" && !request.countOnly;
}

/**
 * Sorts and limits `all`, the opened and filtered keys of the range in key order. etcd fetches only
 * limit+1 keys when the order is NONE, and sorts those (etcd-wire.md 2.3).
 */
export function sortByValue(request: RangeRequest, all: RangeResult): RangeResult {
  const { limit } = request;
  const filtered =
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0;
  const limitsFirst = request.sortOrder === "none" && limit > 0 && !filtered;
  const fetched = limitsFirst ? all.kvs.slice(0, limit + 1) : [...all.kvs];
  const sign = request.sortOrder === "descend" ? -1 : 1;
  fetched.sort((a, b) => sign * compareValues(a.value, b.value));
  const more = limit > 0 && fetched.length > limit;
  return { kvs: more ? fetched.slice(0, limit) : fetched, more, count: all.count };
}

/** Whether `kv` stands in `result` to `operand`. */
export function valueHolds(kv: KeyValue, result: CompareResult, operand: Uint8Array): boolean {
  const order = compareValues(kv.value, operand);
  switch (result) {
    case "equal":
      return order === 0;
    case "not-equal":
      return order !== 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
  }
}
