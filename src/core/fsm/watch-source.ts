import { type AppliedChange, type WatchEvent, type WatchSource, revision } from "../types/mod.ts";
import type { HistoryRow } from "../mvcc/mod.ts";
import type { FsmBackend } from "./backend.ts";
import type { Scope, Scopes } from "./scopes.ts";

/** Past changes out of history, for watches that begin or have fallen behind. */
export function createWatchSource(backend: FsmBackend, scopes: Scopes): WatchSource {
  return {
    revisions(tenant) {
      const scope = scopes.tenant(tenant);
      if (scope === undefined) return undefined;
      return { revision: revision(scope.revision), compactRevision: scope.compactRevision };
    },
    changes(tenant, from, revisionsMax, bytesMax) {
      const scope = scopes.tenant(tenant);
      if (scope === undefined || revisionsMax < 1) return [];
      // Every revision from the compacted one on still has all its changes, so a span of revision
      // numbers is that many revisions.
      const first = Math.max(from, scope.compactRevision, 1);
      const rows = backend.changes(scope.slot, {
        from: first,
        to: first + revisionsMax - 1,
        bytesMax,
      });
      return grouped(backend, scope, rows);
    },
  };
}

function grouped(
  backend: FsmBackend,
  scope: Scope,
  rows: readonly HistoryRow[],
): readonly AppliedChange[] {
  const changes: AppliedChange[] = [];
  let events: WatchEvent[] = [];
  for (const [at, row] of rows.entries()) {
    events.push(eventOf(backend, scope, row));
    const next = rows[at + 1];
    if (next !== undefined && next.kv.modRevision === row.kv.modRevision) continue;
    changes.push({ tenant: scope.id, revision: row.kv.modRevision, events });
    events = [];
  }
  return changes;
}

/** The row before is that of the revision before; a compacted one is absent, as etcd's. */
function eventOf(backend: FsmBackend, scope: Scope, row: HistoryRow): WatchEvent {
  const { type, kv, sub } = row;
  const before = kv.modRevision - 1;
  const created = type === "put" && kv.version === 1;
  const prevKv =
    created || before < scope.compactRevision
      ? undefined
      : backend.getAt(scope.slot, kv.key, before);
  return { type, kv, sub, prevKv };
}
