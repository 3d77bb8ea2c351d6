import { type Key, type KeyRange, rangeCovers } from "../core/types/mod.ts";
import type { Grant } from "./row.ts";

export function byLowerBound(a: Grant, b: Grant): number {
  return a.range.lo < b.range.lo ? -1 : a.range.lo > b.range.lo ? 1 : 0;
}

/** Grants that cover a range from its start on, each with the piece it covers. */
export interface Cover {
  readonly pieces: readonly { readonly piece: KeyRange; readonly grant: Grant }[];
  /** The first part that none covers; undefined: the cover is whole. */
  readonly gap: KeyRange | undefined;
}

/** The fewest grants that cover `range`, in order. `allows` in order of lower bound. */
export function coverOf(range: KeyRange, allows: readonly Grant[]): Cover {
  const pieces: { piece: KeyRange; grant: Grant }[] = [];
  let lo: Key = range.lo;
  let next = 0;
  let best: Grant | undefined;
  for (;;) {
    for (; next < allows.length && (allows[next] as Grant).range.lo <= lo; next++) {
      const grant = allows[next] as Grant;
      if (best === undefined || reachesFarther(grant.range, best.range)) best = grant;
    }
    const rest: KeyRange = { lo, hi: range.hi };
    if (best === undefined || (best.range.hi !== undefined && best.range.hi <= lo)) {
      const further = allows[next]?.range.lo;
      const isWithin = further !== undefined && (range.hi === undefined || further < range.hi);
      return { pieces, gap: isWithin ? { lo, hi: further } : rest };
    }
    const hi = best.range.hi;
    if (hi === undefined || rangeCovers(best.range, rest)) {
      pieces.push({ piece: rest, grant: best });
      return { pieces, gap: undefined };
    }
    pieces.push({ piece: { lo, hi }, grant: best });
    lo = hi;
  }
}

function reachesFarther(a: KeyRange, b: KeyRange): boolean {
  if (b.hi === undefined) return false;
  return a.hi === undefined || a.hi > b.hi;
}
