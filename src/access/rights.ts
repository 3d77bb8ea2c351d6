import {
  type Key,
  type KeyRange,
  isSingleKey,
  rangeCovers,
  rangesMeet,
} from "../core/types/mod.ts";
import type { Judge, Question } from "./judge.ts";
import { judgedRange } from "./object.ts";
import { closureOf } from "./roles.ts";
import type { Action, Grant, PolicyRow } from "./row.ts";
import type { TenantPolicy } from "./tenant-policy.ts";

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

/**
 * What one principal may do in one tenant at one policy revision, worked out as it is asked.
 *
 * Invariant: holds no TenantPolicy. A principal that is kept must not keep alive the rows of all
 * the others, at a revision that has passed.
 */
export interface Rights {
  readonly policyRevision: number;
  readonly closure: ReadonlyMap<string, string | undefined>;
  /** Grants and roles held: the measure of its memory. */
  readonly size: number;
  /** Whether any allow row is among its grants. */
  readonly hasGrant: boolean;
  decide(action: Action, range: KeyRange): Decision;
  /** What `decide` is founded on; worked out anew each time. */
  grounds(action: Action, range: KeyRange): Grounds;
}

/** Why a range is allowed or not. */
export interface Grounds {
  /** All rows that deny part of the range; else those that together allow it, or as much as they reach. */
  readonly rows: readonly PolicyRow[];
  /** The first keys that no row allows, if none denies either. */
  readonly missing: KeyRange | undefined;
}

/** Decisions kept per action beyond one for each segment. */
const SPAN_DECISIONS = 64;

export function createRights(
  judge: Judge,
  policy: TenantPolicy,
  principal: { readonly subject: string; readonly groups: readonly string[] },
): Rights {
  const groups = principal.groups.map((name) => `group:${name}`);
  const closure = closureOf(principal.subject, groups, policy.links);
  const grants: Grant[] = [];
  for (const member of closure.keys()) grants.push(...(policy.grants.get(member) ?? []));
  const tables = new Map<Action, ActionRights>();
  const { subject } = principal;
  const { tenant: domain, revision: policyRevision } = policy;

  const grantsFor = (action: Action): readonly Grant[] =>
    grants.filter((grant) => grant.action === action || grant.action === "*");

  const decide = (action: Action, asked: KeyRange): Decision => {
    let table = tables.get(action);
    if (table === undefined) {
      const question = { subject, domain, action, closure };
      table = actionRights(judge, question, grantsFor(action), policyRevision);
      tables.set(action, table);
    }
    return table(judgedRange(asked));
  };

  const grounds = (action: Action, asked: KeyRange): Grounds => {
    const range = judgedRange(asked);
    const usable = grantsFor(action);
    const denials = usable.filter((grant) => !grant.allows && rangesMeet(grant.range, range));
    if (denials.length > 0) return { rows: denials.map(({ row }) => row), missing: undefined };
    const { pieces, gap } = coverOf(
      range,
      usable.filter((grant) => grant.allows).sort(byLowerBound),
    );
    return { rows: pieces.map(({ grant }) => grant.row), missing: gap };
  };
  const hasGrant = grants.some((grant) => grant.allows);
  return {
    policyRevision,
    closure,
    size: grants.length + closure.size - 1,
    hasGrant,
    decide,
    grounds,
  };
}

type ActionRights = (range: KeyRange) => Decision;

/**
 * Cuts the keys at every bound of a grant. Within one segment no bound lies, so casbin answers the
 * same for each of its keys, and a decision for one holds for all: decisions are kept by segment,
 * and for ranges by first and last segment, and need no key in the cache.
 */
function actionRights(
  judge: Judge,
  about: Omit<Question, "range">,
  grants: readonly Grant[],
  policyRevision: number,
): ActionRights {
  const cuts = cutsOf(grants);
  const denials = grants.filter((grant) => !grant.allows);
  const allows = grants.filter((grant) => grant.allows).sort(byLowerBound);
  const decisions = new Map<number, Decision>();
  const decisionsMax = cuts.length + SPAN_DECISIONS;

  const decideSpan = (range: KeyRange): Decision => {
    const touching = denials.filter((grant) => rangesMeet(grant.range, range));
    if (touching.length > 0) {
      // Casbin would walk the allowing rows only to be overruled; those that deny are enough.
      const { allowed, grant } = judge.ask({ ...about, range }, touching);
      return { allowed, policyRevision, row: grant?.row };
    }
    const { pieces, gap } = coverOf(range, allows);
    if (gap !== undefined) return { allowed: false, policyRevision, row: undefined };
    let first: Grant | undefined;
    for (const { piece, grant } of pieces) {
      const verdict = judge.ask({ ...about, range: piece }, [grant]);
      if (!verdict.allowed) return { allowed: false, policyRevision, row: undefined };
      first ??= verdict.grant;
    }
    return { allowed: first !== undefined, policyRevision, row: first?.row };
  };

  return (range) => {
    const first = lastCut(cuts, range.lo, true);
    const last = isSingleKey(range)
      ? first
      : range.hi === undefined
        ? cuts.length - 1
        : lastCut(cuts, range.hi, false);
    const span = first * cuts.length + last;
    const known = decisions.get(span);
    if (known !== undefined) return known;
    const decision = decideSpan(range);
    if (decisions.size >= decisionsMax) decisions.clear();
    decisions.set(span, decision);
    return decision;
  };
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

function byLowerBound(a: Grant, b: Grant): number {
  return a.range.lo < b.range.lo ? -1 : a.range.lo > b.range.lo ? 1 : 0;
}

/** Grants that cover a range from its start on, each with the piece it covers. */
interface Cover {
  readonly pieces: readonly { readonly piece: KeyRange; readonly grant: Grant }[];
  /** The first part that none covers; undefined: the cover is whole. */
  readonly gap: KeyRange | undefined;
}

/** The fewest grants that cover `range`, in order. `allows` in order of lower bound. */
function coverOf(range: KeyRange, allows: readonly Grant[]): Cover {
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
