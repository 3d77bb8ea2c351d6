import { changesOf, changesUpon, type Change, valuesOf, wrongAnswer } from "./effects.ts";
import type { HistoryLine, WatchedEvent } from "./history.ts";
import { isWatch } from "./history.ts";
import { type LeaseOp, type Op, describeOp, pairLeaseOps, pairOps } from "./ops.ts";
import { type Truth, sameState } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * Strict serializability over revisions (G1), nothing acknowledged lost (G2), and serializable reads of
 * the past (G12). Revisions order all writes, so this needs no search: every answer must fit the state
 * at its revision, every revision must be the work of one operation, and what ended before another
 * began must have the lower revision.
 */
export function checkRevisions(lines: readonly HistoryLine[], truth: Truth): readonly Verdict[] {
  const ops = pairOps(lines);
  const leaseOps = pairLeaseOps(lines);
  const known = knownRevisions(lines, [...ops, ...leaseOps]);
  const serializable = new Findings("G1", "strictly serializable by revision");
  const lost = new Findings("G2", "no acknowledged write lost");
  const past = new Findings("G12", "serializable reads are of the past");
  for (const flaw of truth.flaws.slice(0, 5)) serializable.violated(`the history: ${flaw}`);
  const world = { truth, known, owners: new Map<number, Op | LeaseOp>() };
  checkAcknowledged([...ops, ...leaseOps], world, { serializable, lost });
  checkOwners([...ops, ...leaseOps], world, serializable);
  for (const op of ops) {
    const { f } = op.done;
    if (f === "serializable-read") checkAnswer(op, world, past);
    else checkAnswer(op, world, serializable);
  }
  return [serializable.verdict, lost.verdict, past.verdict];
}

interface World {
  readonly truth: Truth;
  /** The highest revision that somebody had been told of before a time. */
  readonly known: (time: number) => number;
  /** By revision. */
  readonly owners: Map<number, Op | LeaseOp>;
}

/** What was told to whomever: answers, and messages of watches. */
function knownRevisions(
  lines: readonly HistoryLine[],
  ops: readonly (Op | LeaseOp)[],
): (time: number) => number {
  const told: { readonly time: number; readonly rev: number }[] = [];
  for (const { end, done, outcome } of ops) {
    const counts = done.f !== "lease-grant" && done.f !== "lease-renew";
    if (outcome !== "info" && counts && done.rev !== undefined)
      told.push({ time: end, rev: done.rev });
  }
  for (const line of lines) {
    if (!isWatch(line)) continue;
    if (line.f === "watch-progress") told.push({ time: line.time, rev: line.rev ?? 0 });
    if (line.f === "watch-events") {
      told.push({ time: line.time, rev: line.events.at(-1)?.kv.mod ?? 0 });
    }
  }
  told.sort((a, b) => a.time - b.time);
  const highest: number[] = [];
  for (const { rev } of told) highest.push(Math.max(highest.at(-1) ?? 0, rev));
  return (time) => {
    let low = 0;
    let high = told.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((told[middle]?.time ?? Infinity) < time) low = middle + 1;
      else high = middle;
    }
    return highest[low - 1] ?? 0;
  };
}

/** Every acknowledged write is in the history, whole, at the revision that was told, and at no other. */
function checkAcknowledged(
  ops: readonly (Op | LeaseOp)[],
  { truth, owners }: World,
  { serializable, lost }: { readonly serializable: Findings; readonly lost: Findings },
): void {
  for (const op of ops) {
    const changes = changesOf(op);
    if (changes.length === 0) continue;
    const rev = op.done.rev ?? 0;
    const found = truth.changes.get(rev) ?? [];
    lost.expect(
      sameChanges(found, changes),
      () => `revision ${rev} holds ${describeChanges(found)}, not this:\n    ${describeOp(op)}`,
    );
    const other = owners.get(rev);
    if (other !== undefined) {
      serializable.violated(
        `two writes were told revision ${rev}:\n    ${describeOp(other)}\n    ${describeOp(op)}`,
      );
    }
    owners.set(rev, op);
  }
}

/** Every revision is the work of one operation that was sent before it was seen, done whole. */
function checkOwners(ops: readonly (Op | LeaseOp)[], world: World, findings: Findings): void {
  const { truth, owners } = world;
  const writers = new Map(ops.flatMap((op) => valuesOf(op).map((value) => [value, op] as const)));
  const unknown = ops.filter(({ outcome }) => outcome === "info");
  const done = new Map([...owners].map(([rev, op]) => [op, rev] as const));
  const leaseKeys = new Set(
    ops.flatMap(({ invoked }) => (invoked.f === "lease-put" ? [invoked.key] : [])),
  );
  for (const [rev, events] of [...truth.changes].toSorted(([a], [b]) => a - b)) {
    if (owners.has(rev)) continue;
    const puts = events.filter(({ type }) => type === "put");
    if (puts.length === 0 && events.every(({ kv }) => leaseKeys.has(kv.key))) continue;
    const owner =
      puts.length > 0
        ? writers.get(puts[0]?.kv.value ?? "")
        : unknown.find((op) => !done.has(op) && couldBe(op, { rev, events }, world));
    const about = (): string => `revision ${rev} holds ${describeChanges(events)}`;
    if (owner === undefined) findings.violated(`${about()}, which nobody asked for`);
    else if (owner.outcome === "fail") {
      findings.violated(`${about()}, of a request that was refused:\n    ${describeOp(owner)}`);
    } else if (owner.outcome === "ok") {
      findings.violated(`${about()}, and was told another revision:\n    ${describeOp(owner)}`);
    } else {
      findings.expect(
        couldBe(owner, { rev, events }, world),
        () => `${about()}, which is not this, whole and in time:\n    ${describeOp(owner)}`,
      );
    }
    if (owner !== undefined) {
      const again = done.get(owner);
      if (again !== undefined) {
        findings.violated(`${about()}, done again after ${again}:\n    ${describeOp(owner)}`);
      }
      done.set(owner, rev);
      owners.set(rev, owner);
    }
  }
}

interface Revision {
  readonly rev: number;
  readonly events: readonly WatchedEvent[];
}

/** Whether an operation of unknown outcome could have made a revision. */
function couldBe(op: Op | LeaseOp, { rev, events }: Revision, world: World): boolean {
  const { truth, known } = world;
  const changes = changesUpon(op, (key) => truth.at(key, rev - 1));
  return sameChanges(events, changes) && known(op.start) < rev;
}

/** An answer fits the state at its revision, and the revision the time of the question. */
function checkAnswer(op: Op, { truth, known }: World, findings: Findings): void {
  const { rev } = op.done;
  if (op.outcome === "info" || rev === undefined) return;
  const wrote = changesOf(op).length > 0;
  const wrong =
    wrongAnswer(op, (key) => truth.at(key, wrote ? rev - 1 : rev)) ?? wrongKv(op, truth);
  findings.expect(wrong === undefined, () => `at ${rev} ${wrong}:\n    ${describeOp(op)}`);
  if (rev > truth.revision)
    findings.violated(`there is no revision ${rev}:\n    ${describeOp(op)}`);
  if (op.done.f === "serializable-read") return;
  const before = known(op.start);
  findings.expect(
    wrote ? rev > before : rev >= before,
    () => `revision ${before} was known before this began:\n    ${describeOp(op)}`,
  );
}

function wrongKv({ done }: Op, truth: Truth): string | undefined {
  if (done.f !== "read" && done.f !== "serializable-read") return undefined;
  if (done.kv === undefined) return undefined;
  const held = truth.at(done.key, done.rev ?? 0);
  return sameState(done.kv, held)
    ? undefined
    : `the key was ${JSON.stringify(held)}, and the answer says ${JSON.stringify(done.kv)}`;
}

function sameChanges(events: readonly WatchedEvent[], changes: readonly Change[]): boolean {
  if (events.length !== changes.length) return false;
  const told = new Map(events.map((event) => [event.kv.key, valueOfEvent(event)]));
  return changes.every(({ key, value }) => told.has(key) && told.get(key) === value);
}

function valueOfEvent({ type, kv }: WatchedEvent): string | null {
  return type === "delete" ? null : kv.value;
}

function describeChanges(events: readonly WatchedEvent[]): string {
  if (events.length === 0) return "nothing";
  return events.map((event) => `${event.kv.key}=${JSON.stringify(valueOfEvent(event))}`).join(" ");
}
