import type { HistoryLine } from "./history.ts";
import { type LeaseOp, type Op, describeOp, pairLeaseOps, pairOps } from "./ops.ts";
import type { Truth } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * Lease keys vanish not before the TTL and within TTL + 1 s (G14). The lease clock stands still while
 * there is no leader, which is seen from outside as time in which nothing is written: it is added.
 *
 * When a key vanished is not looked for by asking: the revision at which it went is bounded by
 * everything else that was told. Whoever was told that revision or a higher one before a time proves
 * that it was gone by then; a linearizable answer below it proves that it was there when asked for.
 */

const S = 1e9;

export interface LeaseLimits {
  /** Seconds past the TTL. */
  readonly lateS: number;
  /** Clocks tick in milliseconds, on both sides. */
  readonly toleranceS: number;
  /** Shorter times without a write say nothing. */
  readonly gapS: number;
}

const LIMITS: LeaseLimits = { lateS: 1, toleranceS: 0.05, gapS: 0.2 };

export function checkLeases(
  lines: readonly HistoryLine[],
  truth: Truth,
  limits: LeaseLimits = LIMITS,
): Verdict {
  const findings = new Findings("G14", "lease keys live for their TTL");
  const ops = pairOps(lines);
  const world: World = {
    truth,
    limits,
    timeline: timelineOf(ops),
    gaps: gapsOf(ops, limits.gapS),
    findings,
  };
  const leases = new Map<string, LeaseOp[]>();
  for (const op of pairLeaseOps(lines)) {
    const list = leases.get(op.done.lease) ?? [];
    if (list.length === 0) leases.set(op.done.lease, list);
    list.push(op);
  }
  for (const [lease, of] of leases) checkLease(lease, of, world);
  return findings.verdict;
}

interface World {
  readonly truth: Truth;
  readonly limits: LeaseLimits;
  readonly timeline: Timeline;
  readonly gaps: readonly Gap[];
  readonly findings: Findings;
}

/** When revisions came to be, as others saw it. */
interface Timeline {
  /** Somebody had been told of `revision` or a later one by then. */
  goneBy(revision: number): number;
  /** Somebody asked then, and was answered from before `revision`. */
  thereAt(revision: number): number;
}

function timelineOf(ops: readonly Op[]): Timeline {
  const told = ops
    .filter(({ outcome, done }) => outcome !== "info" && done.rev !== undefined)
    .map(({ start, end, done }) => ({ start, end, rev: done.rev ?? 0, f: done.f }))
    .toSorted((a, b) => a.rev - b.rev);
  const earliestEnd: number[] = new Array<number>(told.length + 1).fill(Infinity);
  for (let i = told.length - 1; i >= 0; i--) {
    earliestEnd[i] = Math.min(earliestEnd[i + 1] ?? Infinity, told[i]?.end ?? Infinity);
  }
  const latestStart: number[] = [-Infinity];
  for (const { start, f } of told) {
    const counts = f === "serializable-read" ? -Infinity : start;
    latestStart.push(Math.max(latestStart.at(-1) ?? -Infinity, counts));
  }
  const firstAtLeast = (revision: number): number => {
    let low = 0;
    let high = told.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((told[middle]?.rev ?? Infinity) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    goneBy: (revision) => earliestEnd[firstAtLeast(revision)] ?? Infinity,
    thereAt: (revision) => latestStart[firstAtLeast(revision)] ?? -Infinity,
  };
}

/** A time in which no write was answered. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** Times longer than `gapS` seconds between answers to writes. */
export function gapsOf(ops: readonly Op[], gapS: number): readonly Gap[] {
  const writes = ops.filter(
    ({ outcome, done }) => outcome === "ok" && done.f !== "read" && done.f !== "serializable-read",
  );
  const ends = writes.map(({ end }) => end).toSorted((a, b) => a - b);
  return ends.flatMap((to, index) => {
    const from = ends[index - 1] ?? 0;
    return to - from > gapS * S ? [{ from, to }] : [];
  });
}

function standstill(gaps: readonly Gap[], { from, to }: Gap): number {
  let sum = 0;
  for (const gap of gaps) sum += Math.max(0, Math.min(gap.to, to) - Math.max(gap.from, from));
  return sum;
}

function checkLease(lease: string, ops: readonly LeaseOp[], world: World): void {
  const grant = ops.find(({ done }) => done.f === "lease-grant");
  if (grant?.outcome !== "ok") return;
  const puts = ops.filter(({ done, outcome }) => done.f === "lease-put" && outcome === "ok");
  if (puts.length === 0) return;
  const renewals = ops.filter(({ done }) => done.f === "lease-renew");
  const gone = checkTogether(lease, puts, world);
  if (gone === undefined) return;
  const ttl = grant.done.ttl ?? 0;
  const good = renewals.filter(({ outcome, done }) => outcome === "ok" && (done.ttl ?? 0) > 0);
  const last = good.at(-1) ?? grant;
  checkEarly({ lease, last, ttl, gone }, world);
  // One that may have happened may have happened late: no bound follows.
  const uncertain = renewals.some(({ outcome, start }) => outcome === "info" && start > last.start);
  if (!uncertain) checkLate({ lease, last, ttl, gone }, world);
}

/** All keys of a lease go in one revision, and they do go; answers that revision. */
function checkTogether(
  lease: string,
  puts: readonly LeaseOp[],
  { truth, findings }: World,
): number | undefined {
  const revisions = puts.map(({ done }) => removalOf(truth, done.key ?? "", done.rev ?? 0));
  const [first] = revisions;
  const shown = revisions.map((rev) => rev ?? "never").join(", ");
  findings.expect(
    first !== undefined && revisions.every((rev) => rev === first),
    () => `the keys of lease ${lease} went at revisions ${shown}`,
  );
  return first;
}

function removalOf(truth: Truth, key: string, from: number): number | undefined {
  // Lease keys are written once, so the first removal behind the put is theirs.
  if (truth.at(key, truth.revision) !== undefined) return undefined;
  let low = from;
  let high = truth.revision;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (truth.at(key, middle) === undefined) high = middle;
    else low = middle + 1;
  }
  return low;
}

interface Removal {
  readonly lease: string;
  /** The grant, or the last renewal that was answered. */
  readonly last: LeaseOp;
  readonly ttl: number;
  /** The revision at which its keys went. */
  readonly gone: number;
}

function checkEarly(
  { lease, last, ttl, gone }: Removal,
  { timeline, limits, findings }: World,
): void {
  const by = timeline.goneBy(gone);
  const lived = (by - last.start) / S;
  findings.expect(
    lived >= ttl - limits.toleranceS,
    () =>
      `lease ${lease} of ${ttl} s was gone at revision ${gone}, ` +
      `at most ${lived.toFixed(3)} s after\n    ${describeOp(last)}`,
  );
}

function checkLate(removal: Removal, { timeline, gaps, limits, findings }: World): void {
  const { lease, last, ttl, gone } = removal;
  const there = timeline.thereAt(gone);
  const still = standstill(gaps, { from: last.start, to: there });
  const lived = (there - last.end) / S;
  const allowed = ttl + limits.lateS + limits.toleranceS + still / S;
  findings.expect(
    lived <= allowed,
    () =>
      `lease ${lease} of ${ttl} s was still there before revision ${gone}, ${lived.toFixed(3)} s after` +
      ` (nothing was written for ${(still / S).toFixed(3)} s of them)\n    ${describeOp(last)}`,
  );
}
