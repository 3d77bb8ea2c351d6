import type { LeaseId } from "../types/mod.ts";
import { type CompactionStep, compactSlice } from "../mvcc/mod.ts";
import type { FsmBackend } from "./backend.ts";
import { settleLeases } from "./scope-leases.ts";
import type { Scope, Scopes } from "./scopes.ts";

/** Pages given back to the file system per step: SQLite searches its list of free pages for each. */
const VACUUM_PAGES = 1;

/** Scopes without work that one step passes over. */
const IDLE_SCOPES_PER_STEP = 100;

/** How far removal towards a compacted revision has come. */
interface Progress extends CompactionStep {
  readonly target: number;
}

/** How far the rows of leases have followed their scope; `after` is where to go on. */
interface Settling {
  readonly floor: number;
  readonly suspended: boolean;
  readonly after: LeaseId | undefined;
  readonly done: boolean;
}

/**
 * Background removal in slices, each one backend transaction. It changes nothing that a reader can
 * see, so members may be at different points of it. The scopes take turns: one with much to remove
 * keeps no other from its own.
 */
export function createCleaner(
  backend: FsmBackend,
  scopes: Scopes,
): (budgetRows: number) => boolean {
  const progress = new Map<Scope, Progress>();
  const settling = new Map<Scope, Settling>();

  /** False if there was nothing to do, as in the two below. */
  const compactScope = (scope: Scope, rows: number): boolean => {
    const { slot, compactRevision: target } = scope;
    const known = progress.get(scope);
    if (target < 0 || (known?.done === true && known.target === target)) return false;
    // A new target begins at the start of a revision again: what was kept because it stood at the
    // old target may go now.
    const cursor =
      known?.target === target ? known.cursor : { revision: backend.cleanRevision(slot), sub: -1 };
    if (cursor.revision === target && cursor.sub === -1) {
      progress.set(scope, { target, cursor, done: true });
      return false;
    }
    const step = backend.transaction(() => {
      const made = compactSlice(backend, slot, { cursor, target, rows });
      backend.setCleanRevision(slot, made.done ? target : made.cursor.revision - 1);
      return made;
    });
    progress.set(scope, { target, ...step });
    return true;
  };

  const settleScope = (scope: Scope, limit: number): boolean => {
    const { leaseFloor: floor, suspended } = scope;
    const known = settling.get(scope);
    const isSame = known?.floor === floor && known.suspended === suspended;
    if (floor < 0 || (isSame && known.done)) return false;
    const after = isSame ? known.after : undefined;
    const next = backend.transaction(() => settleLeases(backend, scope, { after, limit }));
    settling.set(scope, { floor, suspended, after: next, done: next === undefined });
    return true;
  };

  const purgeScope = (scope: Scope, rows: number): boolean => {
    const left = backend.transaction(() => {
      const removed = backend.purge(scope.slot, rows);
      if (removed === 0) backend.removeScope(scope.slot);
      return removed > 0;
    });
    if (left) return true;
    scopes.forget(scope);
    progress.delete(scope);
    settling.delete(scope);
    return false;
  };

  const cleanScope = (scope: Scope, rows: number): boolean =>
    scope.deleted ? purgeScope(scope, rows) : compactScope(scope, rows) || settleScope(scope, rows);

  return (budgetRows) => {
    let idle = 0;
    for (const scope of scopes.toClean) {
      scopes.toClean.delete(scope);
      if (cleanScope(scope, budgetRows)) {
        scopes.toClean.add(scope);
        return true;
      }
      idle += 1;
      if (idle === IDLE_SCOPES_PER_STEP) return true;
    }
    return backend.vacuum(VACUUM_PAGES);
  };
}
