import type { HistoryLine, WatchLine, WatchSpec, WatchedEvent } from "./history.ts";
import { isWatch } from "./history.ts";
import { type Truth, flawOf, sameState } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/**
 * What watches promise (G3-G11), held against the history that a member told at the end. A session is
 * one watch through all its streams: after a break it goes on at the revision behind the last that it
 * was told of, so its streams together must tell every event of their range once, in order.
 */
export function checkWatches(lines: readonly HistoryLine[], truth: Truth): readonly Verdict[] {
  const checks = createChecks();
  for (const [session, told] of sessions(lines)) checkSession(session, { told, truth, checks });
  return Object.values(checks).map((findings) => findings.verdict);
}

type Checks = ReturnType<typeof createChecks>;

function createChecks() {
  return {
    ordered: new Findings("G3", "watch: ordered"),
    unique: new Findings("G4", "watch: unique"),
    atomic: new Findings("G5", "watch: a revision comes whole"),
    reliable: new Findings("G6", "watch: nothing missing"),
    resumable: new Findings("G7", "watch: resumable"),
    bookmarkable: new Findings("G8", "watch: nothing at or before a progress revision after it"),
    previous: new Findings("G9", "watch: prev_kv right"),
    created: new Findings("G10", "watch: keys and create flag right"),
    filters: new Findings("G11", "watch: filters and range right"),
  } as const;
}

function sessions(lines: readonly HistoryLine[]): ReadonlyMap<string, readonly WatchLine[]> {
  const found = new Map<string, WatchLine[]>();
  for (const line of lines) {
    if (!isWatch(line)) continue;
    const list = found.get(line.session) ?? [];
    if (list.length === 0) found.set(line.session, list);
    list.push(line);
  }
  return found;
}

/** One session as it goes. */
interface Progress {
  readonly session: string;
  readonly truth: Truth;
  readonly checks: Checks;
  spec: WatchSpec | undefined;
  /** Streams so far. */
  streams: number;
  /** All of the range up to here has been told; undefined before a watch from now on was created. */
  told: number | undefined;
  /** Last progress revision of this stream. */
  bookmark: number;
  /** Of the last message with events in this stream. */
  lastRevision: number;
  /** Revision and key of every event told. */
  readonly seen: Set<string>;
}

function checkSession(
  session: string,
  about: {
    readonly told: readonly WatchLine[];
    readonly truth: Truth;
    readonly checks: Checks;
  },
): void {
  const progress: Progress = {
    session,
    truth: about.truth,
    checks: about.checks,
    spec: undefined,
    streams: 0,
    told: undefined,
    bookmark: 0,
    lastRevision: 0,
    seen: new Set(),
  };
  for (const line of about.told) {
    if (line.f === "watch-start") begin(progress, line);
    else if (line.f === "watch-created") created(progress, line.rev ?? 0);
    else if (line.f === "watch-events") hearEvents(progress, line);
    else if (line.f === "watch-progress") hearProgress(progress, line.rev ?? 0);
  }
  const end = about.told.at(-1);
  if (end?.f === "watch-end" && end.deliberate === true) return;
  // Watched to the end of the run; one that never got there was left behind.
  about.checks.reliable.expect(
    (progress.told ?? 0) >= about.truth.revision,
    () => `${session} was told up to ${progress.told}, and the last is ${about.truth.revision}`,
  );
}

function begin(progress: Progress, line: WatchLine & { readonly f: "watch-start" }): void {
  const { checks, session, told, streams } = progress;
  if (streams > 0) {
    checks.resumable.expect(
      line.start === (told === undefined ? 0 : told + 1),
      () => `${session} went on at ${line.start} after ${told}: the workload is wrong`,
    );
  }
  progress.spec = line;
  progress.streams++;
  progress.bookmark = 0;
  progress.lastRevision = 0;
  if (line.start > 0) progress.told = line.start - 1;
}

/** A watch from now on begins behind the revision of this message. */
function created(progress: Progress, revision: number): void {
  progress.told ??= revision;
}

function hearEvents(progress: Progress, line: WatchLine & { readonly f: "watch-events" }): void {
  const { checks, session, spec, truth } = progress;
  const first = line.events[0]?.kv.mod ?? 0;
  const last = line.events.at(-1)?.kv.mod ?? 0;
  const at = (mod: number): string => `${session}, message at ${line.time} ns, revision ${mod}`;
  if (spec === undefined) return;
  checks.bookmarkable.expect(
    first > progress.bookmark,
    () => `${at(first)} came after progress ${progress.bookmark}`,
  );
  checks.atomic.expect(first !== progress.lastRevision, () => `${at(first)} came in two messages`);
  let previous = progress.lastRevision;
  for (const event of line.events) {
    const { mod, key } = event.kv;
    checks.ordered.expect(mod >= previous, () => `${at(mod)} came after ${previous}`);
    previous = mod;
    const name = `${mod} ${key}`;
    checks.unique.expect(!progress.seen.has(name), () => `${at(mod)}: ${key} came twice`);
    progress.seen.add(name);
    checkEvent(event, { spec, truth, checks, at: at(mod) });
  }
  progress.lastRevision = last;
  checkComplete(progress, last);
}

function checkEvent(
  event: WatchedEvent,
  about: {
    readonly spec: WatchSpec;
    readonly truth: Truth;
    readonly checks: Checks;
    readonly at: string;
  },
): void {
  const { spec, truth, checks, at } = about;
  const { kv, type, prev } = event;
  const before = truth.at(kv.key, kv.mod - 1);
  const after = truth.at(kv.key, kv.mod);
  checks.filters.expect(wants(spec, event), () => `${at}: ${type} of ${kv.key} was not asked for`);
  const told = type === "delete" ? after === undefined : sameState(after, kv);
  const happened = truth.changes.get(kv.mod)?.some((other) => other.kv.key === kv.key) ?? false;
  const flaw = flawOf({ ...event, prev: undefined }, before);
  checks.created.expect(
    told && happened && flaw === undefined,
    () => `${at}: ${JSON.stringify(event)}, and the key was ${JSON.stringify(after ?? null)}`,
  );
  if (spec.prevKv) {
    checks.previous.expect(
      prev !== undefined && sameState(prev ?? undefined, before),
      () => `${at}: prev_kv ${JSON.stringify(prev)}, and it was ${JSON.stringify(before ?? null)}`,
    );
  } else {
    checks.previous.expect(prev === undefined, () => `${at}: prev_kv was not asked for`);
  }
}

function wants(spec: WatchSpec, { type, kv }: WatchedEvent): boolean {
  if (type === "put" ? spec.noPut : spec.noDelete) return false;
  if (spec.rangeEnd === "") return kv.key === spec.key;
  return kv.key >= spec.key && (spec.rangeEnd === "\0" || kv.key < spec.rangeEnd);
}

function hearProgress(progress: Progress, revision: number): void {
  const { checks, session, lastRevision, bookmark } = progress;
  checks.bookmarkable.expect(
    revision >= lastRevision && revision >= bookmark,
    () => `${session}: progress ${revision} after revision ${Math.max(lastRevision, bookmark)}`,
  );
  // etcd since 3.6.2: a watch that begins in the future hears of no progress before it.
  const start = progress.spec?.start ?? 0;
  checks.bookmarkable.expect(
    revision >= start - 1,
    () => `${session}: progress ${revision} of a watch that begins at ${start}`,
  );
  progress.bookmark = Math.max(bookmark, revision);
  checkComplete(progress, revision);
}

/** Everything of the range up to `revision` must have been told by now. */
function checkComplete(progress: Progress, revision: number): void {
  const { checks, session, truth, spec, seen, told } = progress;
  if (spec === undefined || told === undefined) {
    checks.reliable.violated(`${session} was told of ${revision} before it was created`);
    return;
  }
  // Behind a break it is the business of resuming.
  const findings = progress.streams > 1 ? checks.resumable : checks.reliable;
  for (let at = told + 1; at <= revision; at++) {
    for (const event of truth.changes.get(at) ?? []) {
      if (!wants(spec, event)) continue;
      findings.expect(
        seen.has(`${at} ${event.kv.key}`),
        () => `${session} was told up to ${revision} and never of ${event.kv.key} at ${at}`,
      );
    }
  }
  progress.told = Math.max(told, revision);
}
