import type { HistoryLine, KeyState, WatchedEvent } from "./history.ts";
import { isFinal, isFinalEvents } from "./history.ts";

/** What the store held at every revision, from the history that a member told at the end. */
export interface Truth {
  /** The last revision. */
  readonly revision: number;
  /** Events by revision, in order; each revision has some. */
  readonly changes: ReadonlyMap<number, readonly WatchedEvent[]>;
  /** Every key that was ever written. */
  keys(): readonly string[];
  /** The key as of `revision`; undefined: not there. */
  at(key: string, revision: number): KeyState | undefined;
  /** What is wrong with the history by itself. */
  readonly flaws: readonly string[];
}

/** Undefined where no member told its history. */
export function truthOf(lines: readonly HistoryLine[]): Truth | undefined {
  const first = lines.find(isFinalEvents);
  if (first === undefined) return undefined;
  const events = lines
    .filter(isFinalEvents)
    .filter(({ member }) => member === first.member)
    .flatMap((line) => line.events);
  const final = lines.filter(isFinal).find(({ member }) => member === first.member);
  return buildTruth(events, final?.rev);
}

/** A key as it was written; undefined: deleted there. */
interface Version {
  readonly rev: number;
  readonly state: KeyState | undefined;
}

/** `revision`: what the member said its last one is; the last event's unless given. */
export function buildTruth(events: readonly WatchedEvent[], revision?: number): Truth {
  const changes = new Map<number, WatchedEvent[]>();
  const versions = new Map<string, Version[]>();
  const flaws: string[] = [];
  let last = 1;
  for (const event of events) {
    const { key, mod } = event.kv;
    if (mod < last) flaws.push(`revision ${mod} comes after ${last}`);
    else if (mod > last + 1) flaws.push(`nothing happened at revision ${last + 1}`);
    last = Math.max(last, mod);
    const list = changes.get(mod) ?? [];
    if (list.length === 0) changes.set(mod, list);
    list.push(event);
    const known = versions.get(key) ?? [];
    if (known.length === 0) versions.set(key, known);
    const before = known.at(-1)?.state;
    const state = event.type === "put" ? event.kv : undefined;
    const flaw = flawOf(event, before);
    if (flaw !== undefined) flaws.push(`${key} at ${mod}: ${flaw}`);
    known.push({ rev: mod, state });
  }
  if (revision !== undefined && revision !== last) {
    flaws.push(`the last event is at ${last}, and the revision is ${revision}`);
  }
  return {
    revision: last,
    changes,
    keys: () => [...versions.keys()],
    at: (key, revision) => stateAt(versions.get(key) ?? [], revision),
    flaws,
  };
}

/** What an event says wrongly of its key, of which `before` is known; G9 and G10 for one event. */
export function flawOf(event: WatchedEvent, before: KeyState | undefined): string | undefined {
  const { kv, prev, type } = event;
  if (prev !== undefined && !sameState(prev ?? undefined, before)) {
    return `prev_kv is ${JSON.stringify(prev)} and should be ${JSON.stringify(before ?? null)}`;
  }
  if (type === "delete") return before === undefined ? "a delete of nothing" : undefined;
  const create = before?.create ?? kv.mod;
  const version = (before?.version ?? 0) + 1;
  if (kv.create !== create) return `create_revision is ${kv.create} and should be ${create}`;
  if (kv.version !== version) return `version is ${kv.version} and should be ${version}`;
  return undefined;
}

export function sameState(a: KeyState | undefined, b: KeyState | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.create === b.create &&
    a.mod === b.mod &&
    a.version === b.version
  );
}

/** The last version at or before `revision`. */
function stateAt(versions: readonly Version[], revision: number): KeyState | undefined {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle]?.rev ?? Infinity) <= revision) low = middle + 1;
    else high = middle;
  }
  return versions[low - 1]?.state;
}
