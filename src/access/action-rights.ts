import { type KeyRange, isSingleKey, rangesMeet } from "../core/types/mod.ts";
import { byLowerBound, coverOf } from "./cover.ts";
import type { Judge, Question } from "./judge.ts";
import type { Grant, PolicyRow } from "./row.ts";

export interface Decision {
  readonly allowed: boolean;
  /** The policy revision of the tenant that it was decided at; 0 for an unknown tenant. */
  readonly policyRevision: number;
  /**
   * The row that decided, if one did. For the audit trail and the tenant's admin only: a row that
   * denies names a hole, and a refused caller must not learn of it.
   */
  readonly row?: PolicyRow | undefined;
}

/** Decisions kept for ranges of several segments, beyond as many as there are segments. */
const SPAN_DECISIONS = 64;

/**
 * What one principal may do by one action. The keys are cut at every bound of a grant: within one
 * segment no bound lies, so casbin answers the same for each of its keys, and a decision for one holds
 * for all. Decisions are kept by segment, and for ranges by first and last segment, and need no key in
 * the cache. A known one is found over few objects: with thousands of principals at work, what it
 * takes is the time in which memory is read.
 */
export class ActionRights {
  readonly #judge: Judge;
  readonly #about: Omit<Question, "range">;
  readonly #policyRevision: number;
  readonly #denials: readonly Grant[];
  /** In order of lower bound. */
  readonly #allows: readonly Grant[];
  readonly #cuts: readonly string[];
  /** Of single keys, by segment. */
  readonly #points: (Decision | undefined)[];
  #spans: Map<number, Decision> | undefined;

  constructor(
    judge: Judge,
    about: Omit<Question, "range">,
    grants: readonly Grant[],
    policyRevision: number,
  ) {
    this.#judge = judge;
    this.#about = about;
    this.#policyRevision = policyRevision;
    this.#denials = grants.filter((grant) => !grant.allows);
    this.#allows = grants.filter((grant) => grant.allows).sort(byLowerBound);
    this.#cuts = cutsOf(grants);
    this.#points = this.#cuts.map(() => undefined);
  }

  /** `range` is not empty. */
  decide(range: KeyRange): Decision {
    if (!isSingleKey(range)) return this.#decideSpan(range);
    const segment = lastCut(this.#cuts, range.lo, true);
    return (this.#points[segment] ??= this.#judgeRange(range));
  }

  #decideSpan(range: KeyRange): Decision {
    const cuts = this.#cuts;
    const first = lastCut(cuts, range.lo, true);
    const last = range.hi === undefined ? cuts.length - 1 : lastCut(cuts, range.hi, false);
    const span = first * cuts.length + last;
    const spans = (this.#spans ??= new Map());
    const known = spans.get(span);
    if (known !== undefined) return known;
    const decision = this.#judgeRange(range);
    if (spans.size >= cuts.length + SPAN_DECISIONS) spans.clear();
    spans.set(span, decision);
    return decision;
  }

  #judgeRange(range: KeyRange): Decision {
    const policyRevision = this.#policyRevision;
    const touching = this.#denials.filter((grant) => rangesMeet(grant.range, range));
    if (touching.length > 0) {
      // Casbin would walk the allowing rows only to be overruled; those that deny are enough.
      const { allowed, grant } = this.#judge.ask({ ...this.#about, range }, touching);
      return { allowed, policyRevision, row: grant?.row };
    }
    const { pieces, gap } = coverOf(range, this.#allows);
    if (gap !== undefined) return { allowed: false, policyRevision, row: undefined };
    let first: Grant | undefined;
    for (const { piece, grant } of pieces) {
      const verdict = this.#judge.ask({ ...this.#about, range: piece }, [grant]);
      if (!verdict.allowed) return { allowed: false, policyRevision, row: undefined };
      first ??= verdict.grant;
    }
    return { allowed: first !== undefined, policyRevision, row: first?.row };
  }
}

/** In order, without repeats, from the empty key. */
function cutsOf(grants: readonly Grant[]): readonly string[] {
  const cuts = new Set<string>([""]);
  for (const { range } of grants) {
    cuts.add(range.lo);
    if (range.hi !== undefined) cuts.add(range.hi);
  }
  return [...cuts].sort();
}

/** The index of the last cut below `bound`, or at it if `inclusive`. Never below 0. */
function lastCut(cuts: readonly string[], bound: string, inclusive: boolean): number {
  let low = 0;
  let high = cuts.length; // cuts[low] qualifies, cuts[high] does not
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const cut = cuts[middle] as string;
    if (cut < bound || (inclusive && cut === bound)) low = middle;
    else high = middle;
  }
  return low;
}
