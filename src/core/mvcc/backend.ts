import type { Actor, Key, KeyRange, KeyValue } from "../types/mod.ts";

/** The small number that stands for a tenant in the tables. Never given to a second tenant. */
export type Slot = number;

export interface ScanOptions {
  /** 0: no limit. */
  readonly limit: number;
  readonly descending: boolean;
  /** Without them `value` is empty, and wide rows are not read. */
  readonly withValues: boolean;
}

/** One change of one key as history keeps it. */
export interface HistoryRow {
  readonly type: "put" | "delete";
  readonly sub: number;
  readonly kv: KeyValue;
  readonly actor: Actor;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The chain's hash at this revision, on the row with `sub` 0 only. */
  readonly hash: Uint8Array | undefined;
  /** The tenant's garbage as of this revision, on the row with `sub` 0 only: see ScopeRow. */
  readonly garbage: number | undefined;
}

/** What history keeps of a revision beside its changes. */
export interface RevisionRow {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly hash: Uint8Array;
  readonly garbage: number;
}

/** Where a change stands in its tenant's history: revision, then order within it. */
export interface HistoryPlace {
  readonly revision: number;
  readonly sub: number;
}

/** A change without its value, as compaction needs it. */
export interface HistoryMark extends HistoryPlace {
  readonly key: Key;
  readonly type: "put" | "delete";
}

/** Reading the keys of one moment. Ranges are in byte order of keys. */
export interface KeyReader {
  get(slot: Slot, key: Key): KeyValue | undefined;
  scan(slot: Slot, range: KeyRange, options: ScanOptions): readonly KeyValue[];
  /** Counts at most `limit` keys (0: all); `last` is the last one counted when a limit is given. */
  count(
    slot: Slot,
    range: KeyRange,
    limit: number,
  ): { readonly count: number; readonly last: Key | undefined };
  /** As `get`, `scan` and `count`, at a past revision that is not compacted. */
  getAt(slot: Slot, key: Key, revision: number): KeyValue | undefined;
  scanAt(
    slot: Slot,
    range: KeyRange,
    options: ScanOptions & { readonly revision: number },
  ): readonly KeyValue[];
  countAt(slot: Slot, range: KeyRange, revision: number): number;
  /** Keys of the range created less keys deleted by the revisions after `after` up to `upTo`, the latest. */
  netCreated(
    slot: Slot,
    range: KeyRange,
    revisions: { readonly after: number; readonly upTo: number },
  ): number;
}

/** The rows of all tenants' keys. Synchronous; changes are undone with the transaction around them. */
export interface KeyBackend extends KeyReader {
  /** Sets the current row of a key; `previous` is the row that is there now. */
  put(slot: Slot, kv: KeyValue, previous: KeyValue | undefined): void;
  /** Removes the current row of a key that is there. */
  remove(slot: Slot, key: Key): void;
  append(slot: Slot, row: HistoryRow): void;
  /** Whether history holds a change of the range after `revision`. */
  changedAfter(slot: Slot, range: KeyRange, revision: number): boolean;
  /** The revision of the newest change of the range that history holds, or 0. */
  lastChange(slot: Slot, range: KeyRange): number;
  /**
   * Changes with revisions from `from` up to and including `to`, in order; stops after the revision
   * whose keys and values take the total to `bytesMax`.
   */
  changes(
    slot: Slot,
    bounds: { readonly from: number; readonly to: number; readonly bytesMax: number },
  ): readonly HistoryRow[];
  /** The changes of a key below revision `before` (0: all), newest first. */
  historyOf(slot: Slot, key: Key, before: number, limit: number): readonly HistoryRow[];
  revisionRow(slot: Slot, revision: number): RevisionRow | undefined;

  /** Changes after place `after`, up to and including revision `to`, in order. */
  marks(
    slot: Slot,
    after: HistoryPlace,
    bounds: { readonly to: number; readonly limit: number },
  ): readonly HistoryMark[];
  /** Removes the changes of a key before `place`; returns how many. */
  removeBefore(slot: Slot, key: Key, place: HistoryPlace): number;
  removeChange(slot: Slot, place: HistoryPlace): void;
}

/** What a read must know of its tenant. */
export interface TenantView {
  readonly slot: Slot;
  readonly revision: number;
  /** -1 before the first compaction, as etcd. */
  readonly compactRevision: number;
}
