import {
  type HistoryItem,
  type Key,
  type StateReader,
  type StateSnapshot,
  type TenantId,
  isEmptyRange,
} from "../types/mod.ts";
import { assert } from "../../stdx/mod.ts";
import { leaseInfo } from "../lease/mod.ts";
import { type HistoryRow, countPage, readPage, readRange, readTxn } from "../mvcc/mod.ts";
import type { FsmBackend, ScopeRow } from "./backend.ts";
import { ScopeLeases } from "./scope-leases.ts";
import { type Scope, type Scopes, tenantInfo } from "./scopes.ts";

const NO_TENANT = { ok: false, code: "not-found" } as const;

/** The applied state as the node reads it. */
export function createStateReader(
  backend: FsmBackend,
  scopes: Scopes,
  flush: () => void,
): StateReader {
  const infoOf = (scope: Scope | undefined) =>
    scope === undefined ? undefined : scopes.info(scope);
  return {
    tenant: (id) => infoOf(scopes.tenant(id)),
    tenantByName: (name) => infoOf(scopes.byName(name)),
    tenants: () => scopes.tenants().map((scope) => scopes.info(scope)),
    get tenantCount() {
      return scopes.tenantCount;
    },
    members: () => backend.members(),
    isRemovedMember: (id) => backend.isRemovedMember(id),
    policyRevision: (scope) => scopes.byId(scope)?.policyRevision ?? 0,
    credentialRevision(id) {
      const scope = scopes.byId(id);
      return scope === undefined ? 0 : scopes.credentialRevision(scope);
    },
    record(scope, table, id) {
      const known = scopes.byId(scope);
      return known === undefined ? undefined : backend.record(known.slot, table, id);
    },
    records(scope, table) {
      const known = scopes.byId(scope);
      return known === undefined ? [] : backend.records(known.slot, table);
    },
    range(tenant, request) {
      const scope = scopes.tenant(tenant);
      return scope === undefined ? NO_TENANT : readRange(backend, scope, request);
    },
    readTxn(tenant, request) {
      const scope = scopes.tenant(tenant);
      return scope === undefined ? NO_TENANT : readTxn(backend, scope, request);
    },
    lastChange(tenant, range) {
      const scope = scopes.tenant(tenant);
      if (scope === undefined || isEmptyRange(range)) return 0;
      return backend.lastChange(scope.slot, range);
    },
    history(tenant, key, before, limit) {
      const scope = scopes.tenant(tenant);
      return scope === undefined ? [] : keyHistory(backend, scope, { key, before, limit });
    },
    revisionAt(tenant, timeMs) {
      const scope = scopes.tenant(tenant);
      return scope === undefined ? 0 : revisionAt(backend, scope, timeMs);
    },
    lease(tenant, id, withKeys) {
      const scope = scopes.tenant(tenant);
      if (scope === undefined) return undefined;
      return leaseInfo(new ScopeLeases(backend, scope), scope.slot, { id, withKeys });
    },
    leases(tenant) {
      const scope = scopes.tenant(tenant);
      if (scope === undefined) return [];
      const rows = new ScopeLeases(backend, scope).leases(scope.slot);
      return rows.map(({ id, ttl, deadline }) => ({ id, grantedTtl: ttl, deadline, keys: [] }));
    },
    snapshot() {
      flush(); // A snapshot reads what is committed.
      return createSnapshot(backend);
    },
  };
}

/**
 * Shows what a finished compaction leaves, however far its removal has come: of the changes up to the
 * compacted revision only the last, and that only if it is a put or stands at that revision.
 */
function keyHistory(
  backend: FsmBackend,
  scope: Scope,
  wanted: { readonly key: Key; readonly before: number; readonly limit: number },
): readonly HistoryItem[] {
  const compacted = scope.compactRevision;
  if (wanted.before > 0 && wanted.before <= compacted) return [];
  const rows = backend.historyOf(scope.slot, wanted.key, wanted.before, wanted.limit);
  const items: HistoryItem[] = [];
  for (const row of rows) {
    const { modRevision } = row.kv;
    if (modRevision < compacted && row.type === "delete") break;
    items.push(historyItem(row));
    if (modRevision <= compacted) break;
  }
  return items;
}

/** By halves: every revision from the compacted one on has its first change. */
function revisionAt(backend: FsmBackend, scope: Scope, timeMs: number): number {
  if (scope.created > timeMs) return 0;
  const isMade = (revision: number): boolean => {
    if (revision <= 1) return true;
    const row = backend.revisionRow(scope.slot, revision);
    assert(row !== undefined, "History lost a revision");
    return row.time <= timeMs;
  };
  const first = Math.max(scope.compactRevision, 1);
  if (!isMade(first)) return 0;
  let made = first;
  let beyond = scope.revision + 1;
  while (beyond - made > 1) {
    const middle = Math.floor((made + beyond) / 2);
    if (isMade(middle)) made = middle;
    else beyond = middle;
  }
  return made;
}

function historyItem({ type, kv, actor, time }: HistoryRow): HistoryItem {
  return { type, kv, actor, time };
}

function createSnapshot(backend: FsmBackend): StateSnapshot {
  const frozen = backend.snapshot();
  const known = new Map<TenantId, ScopeRow>();
  const scopeOf = (tenant: TenantId): ScopeRow | undefined => {
    const scope = known.get(tenant) ?? frozen.scope(tenant);
    if (scope !== undefined) known.set(tenant, scope);
    return scope;
  };
  return {
    tenant(id) {
      const scope = scopeOf(id);
      return scope === undefined ? undefined : tenantInfo(scope);
    },
    range(tenant, request) {
      const scope = scopeOf(tenant);
      return scope === undefined ? NO_TENANT : readRange(frozen, scope, request);
    },
    scan(tenant, range, options) {
      const scope = scopeOf(tenant);
      return scope === undefined ? NO_TENANT : readPage(frozen, scope, { range, ...options });
    },
    count(tenant, range, options) {
      const scope = scopeOf(tenant);
      return scope === undefined ? NO_TENANT : countPage(frozen, scope, { range, ...options });
    },
    close: () => frozen.close(),
  };
}
