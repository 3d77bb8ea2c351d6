import type { ErrorCode } from "../../errors.ts";
import type { HistoryPlace, KeyBackend, Slot, TenantView } from "./backend.ts";

/** Whether a tenant can be compacted at `revision` (etcd mvcc/kvstore.go updateCompactRev). */
export function checkCompact(view: TenantView, revision: number): ErrorCode | undefined {
  if (revision <= view.compactRevision) return "compacted";
  return revision > view.revision ? "future-revision" : undefined;
}

export interface CompactionStep {
  /** How far removal has come: all changes up to here have been looked at. */
  readonly cursor: HistoryPlace;
  readonly done: boolean;
}

/**
 * Removes some of what no read at `target` or later can see: a change that a later one up to `target`
 * has replaced, and deletes before `target`. Walks the changes after `cursor` once, each removing its
 * predecessor, so the work is in proportion to what changed since the last compaction and not to the
 * number of keys. Changes at `target` itself stay for watches that start there (etcd keeps its
 * tombstones there, too), so the next compaction begins with them again.
 */
export function compactSlice(
  backend: KeyBackend,
  slot: Slot,
  bounds: { readonly cursor: HistoryPlace; readonly target: number; readonly rows: number },
): CompactionStep {
  const marks = backend.marks(slot, bounds.cursor, { to: bounds.target, limit: bounds.rows });
  for (const mark of marks) {
    const sub = mark.revision === bounds.target ? 0 : mark.sub;
    backend.removeBefore(slot, mark.key, { revision: mark.revision, sub });
    if (mark.type === "delete" && mark.revision < bounds.target) backend.removeChange(slot, mark);
  }
  const last = marks.at(-1);
  if (last === undefined || marks.length < bounds.rows) {
    return { cursor: { revision: bounds.target, sub: -1 }, done: true };
  }
  return { cursor: { revision: last.revision, sub: last.sub }, done: false };
}
