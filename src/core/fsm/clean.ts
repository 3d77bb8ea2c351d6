import { type CompactionStep, type Slot, compactSlice } from "../mvcc/mod.ts";
import type { FsmBackend } from "./backend.ts";
import type { Scope, Scopes } from "./scopes.ts";

/** Pages given back to the file system per step: SQLite searches its list of free pages for each. */
const VACUUM_PAGES = 1;

/** How far removal towards a compacted revision has come. */
interface Progress extends CompactionStep {
  readonly target: number;
}

/**
 * Background removal in slices, each one backend transaction. It changes nothing that a reader can
 * see, so members may be at different points of it.
 */
export function createCleaner(
  backend: FsmBackend,
  scopes: Scopes,
): (budgetRows: number) => boolean {
  const progress = new Map<Slot, Progress>();

  const compactScope = (scope: Scope, rows: number): void => {
    const { slot, compactRevision: target } = scope;
    const known = progress.get(slot);
    // A new target begins at the start of a revision again: what was kept because it stood at the
    // old target may go now.
    const cursor =
      known?.target === target ? known.cursor : { revision: backend.cleanRevision(slot), sub: -1 };
    if (cursor.revision === target && cursor.sub === -1) {
      progress.set(slot, { target, cursor, done: true });
      return;
    }
    const step = backend.transaction(() => {
      const made = compactSlice(backend, slot, { cursor, target, rows });
      backend.setCleanRevision(slot, made.done ? target : made.cursor.revision - 1);
      return made;
    });
    progress.set(slot, { target, ...step });
  };

  const purgeScope = (scope: Scope, rows: number): void => {
    const left = backend.transaction(() => {
      const removed = backend.purge(scope.slot, rows);
      if (removed === 0) backend.removeScope(scope.slot);
      return removed > 0;
    });
    if (!left) scopes.forget(scope);
  };

  return (budgetRows) => {
    for (const scope of scopes.all()) {
      if (scope.deleted) {
        purgeScope(scope, budgetRows);
        return true;
      }
      const known = progress.get(scope.slot);
      if (scope.compactRevision < 0) continue;
      if (known?.done === true && known.target === scope.compactRevision) continue;
      compactScope(scope, budgetRows);
      return true;
    }
    return backend.vacuum(VACUUM_PAGES);
  };
}
