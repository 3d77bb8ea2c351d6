import type { KeyRange, Revision, WatchEvent } from "../types/mod.ts";

/** One watch of one stream. */
export interface Watcher {
  readonly owner: WatcherOwner;
  readonly id: number;
  readonly range: KeyRange;
  readonly wantsPuts: boolean;
  readonly wantsDeletes: boolean;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  /** As the client asked; 0 if it asked for none. */
  readonly startRevision: number;
  /** The lowest revision that it has not been given yet. */
  next: number;
  /**
   * True: in the tenant's index, given each change as it is published. False: in the stream's index
   * of watchers that lag, fed from recent changes or the store.
   * Invariant: every change at or above `next` that is not published yet will be given either way.
   */
  synced: boolean;
  /** Events were given since the last periodic progress notification fell due. */
  eventsSinceProgress: boolean;
  /** What the change or slice in hand holds for it; empty in between. */
  pending: readonly WatchEvent[];
  pendingBytes: number;
}

/** The stream of a watcher, as publishing sees it. */
export interface WatcherOwner {
  /** Takes `watcher.pending`, all of revision `revision`. */
  deliver(watcher: Watcher, revision: Revision): void;
}

/** One event in the two forms in which watchers want it, made once and shared by all of them. */
export interface SharedEvent {
  readonly full: readonly [WatchEvent];
  readonly bare: readonly [WatchEvent];
  readonly fullBytes: number;
  readonly bareBytes: number;
}

/** What an event weighs beside its keys and values: revisions, framing, the object itself. */
const EVENT_OVERHEAD_BYTES = 64;

/** At least what the event takes in a protobuf message. */
export function eventBytes({ kv, prevKv }: WatchEvent): number {
  const bytes = EVENT_OVERHEAD_BYTES + kv.key.length + kv.value.length;
  if (prevKv === undefined) return bytes;
  return bytes + EVENT_OVERHEAD_BYTES + prevKv.key.length + prevKv.value.length;
}

export function sharedEvent(event: WatchEvent): SharedEvent {
  const fullBytes = eventBytes(event);
  const full = [event] as const;
  if (event.prevKv === undefined) return { full, bare: full, fullBytes, bareBytes: fullBytes };
  const bare = { ...event, prevKv: undefined };
  return { full, bare: [bare], fullBytes, bareBytes: eventBytes(bare) };
}

/**
 * Adds the event to what is pending for the watcher, unless it is filtered out. A single event stays
 * in the array that all watchers share; only a second one makes an array of the watcher's own.
 */
export function offer(watcher: Watcher, event: SharedEvent, hits: Watcher[]): void {
  const wanted = event.full[0].type === "put" ? watcher.wantsPuts : watcher.wantsDeletes;
  if (!wanted) return;
  const one = watcher.prevKv ? event.full : event.bare;
  const { pending } = watcher;
  if (pending.length === 0) {
    watcher.pending = one;
    hits.push(watcher);
  } else if (pending.length === 1) {
    watcher.pending = [...pending, ...one];
  } else {
    (pending as WatchEvent[]).push(one[0]);
  }
  watcher.pendingBytes += watcher.prevKv ? event.fullBytes : event.bareBytes;
}

export const NO_EVENTS: readonly WatchEvent[] = [];

export function clearPending(watcher: Watcher): void {
  watcher.pending = NO_EVENTS;
  watcher.pendingBytes = 0;
}
