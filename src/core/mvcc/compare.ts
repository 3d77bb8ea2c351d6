import {
  type Compare,
  type CompareResult,
  type Guard,
  type Key,
  type KeyRange,
  type KeyValue,
  NO_LEASE,
  isEmptyRange,
  isSingleKey,
  keyAfter,
  keyRange,
} from "../types/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { KeyBackend, KeyReader, TenantView } from "./backend.ts";

/** Rows read at a time, so that a compare that fails early on a large range stops early. */
const PAGE_ROWS = 256;

/** Whether a compare holds for every key of its range; a missing key compares as all zeros. */
export function compareHolds(reader: KeyReader, view: TenantView, compare: Compare): boolean {
  if (compare.target === "decided") return compare.holds;
  assert(compare.target !== "value", "Compare on value reached the core undecided");
  const range = keyRange(compare.key, compare.rangeEnd);
  if (isSingleKey(range)) return holdsFor(compare, reader.get(view.slot, range.lo));
  if (isEmptyRange(range)) return holdsFor(compare, undefined);
  return holdsForAll(reader, view, { compare, range });
}

function holdsForAll(
  reader: KeyReader,
  view: TenantView,
  on: { readonly compare: PlainCompare; readonly range: KeyRange },
): boolean {
  let lo: Key = on.range.lo;
  let seen = 0;
  for (;;) {
    const options = { limit: PAGE_ROWS, descending: false, withValues: false };
    const rows = reader.scan(view.slot, { lo, hi: on.range.hi }, options);
    for (const kv of rows) if (!holdsFor(on.compare, kv)) return false;
    seen += rows.length;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) break;
    lo = keyAfter(last.key);
  }
  return seen > 0 || holdsFor(on.compare, undefined);
}

type PlainCompare = Exclude<Compare, { target: "decided" } | { target: "value" }>;

function holdsFor(compare: PlainCompare, kv: KeyValue | undefined): boolean {
  switch (compare.target) {
    case "version":
      return ordered(compare.result, kv?.version ?? 0, compare.operand);
    case "create":
      return ordered(compare.result, kv?.createRevision ?? 0, compare.operand);
    case "mod":
      return ordered(compare.result, kv?.modRevision ?? 0, compare.operand);
    case "lease":
      return ordered(compare.result, kv?.lease ?? NO_LEASE, compare.operand);
  }
}

function ordered<T extends number | bigint>(result: CompareResult, a: T, b: T): boolean {
  switch (result) {
    case "equal":
      return a === b;
    case "not-equal":
      return a !== b;
    case "greater":
      return a > b;
    case "less":
      return a < b;
  }
}

/**
 * Whether no key of the guard's range has changed after its revision. Past a compaction the answer
 * would depend on how far each member's removal has come, so such a guard fails on all of them.
 */
export function guardHolds(backend: KeyBackend, view: TenantView, guard: Guard): boolean {
  if (guard.revision >= view.revision) return true;
  if (guard.revision + 1 < view.compactRevision) return false;
  if (isEmptyRange(guard.range)) return true;
  return !backend.changedAfter(view.slot, guard.range, guard.revision);
}
