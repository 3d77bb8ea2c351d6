import {
  CLUSTER_SCOPE,
  NO_COMPACTION,
  NO_LIMITS,
  NO_USAGE,
  type TenantId,
  type TenantInfo,
  revision,
} from "../types/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { Slot } from "../mvcc/mod.ts";
import { CLUSTER_SLOT, type FsmBackend, type ScopeRow } from "./backend.ts";

/** A scope in memory, changed in place while applying. */
export type Scope = { -readonly [field in keyof ScopeRow]: ScopeRow[field] };

/** All scopes, kept in memory; changed ones are written back once per batch. */
export class Scopes {
  readonly #backend: FsmBackend;
  readonly #byId = new Map<TenantId, Scope>();
  readonly #byName = new Map<string, Scope>();
  readonly #bySlot = new Map<Slot, Scope>();
  readonly #changed = new Set<Scope>();

  constructor(backend: FsmBackend) {
    this.#backend = backend;
    this.load();
  }

  /** Reads all scopes again, as after a rolled-back batch. */
  load(): void {
    for (const map of [this.#byId, this.#byName, this.#bySlot]) map.clear();
    this.#changed.clear();
    this.add(newScope({ slot: CLUSTER_SLOT, id: CLUSTER_SCOPE, name: "", created: 0 }, NO_HASH));
    for (const row of this.#backend.scopes()) this.add({ ...row });
  }

  /** A live scope. */
  byId(id: TenantId): Scope | undefined {
    return this.#byId.get(id);
  }

  /** A live tenant; the cluster's scope is none. */
  tenant(id: TenantId): Scope | undefined {
    return id === CLUSTER_SCOPE ? undefined : this.#byId.get(id);
  }

  byName(name: string): Scope | undefined {
    return this.#byName.get(name);
  }

  bySlot(slot: Slot): Scope | undefined {
    return this.#bySlot.get(slot);
  }

  tenants(): readonly Scope[] {
    return [...this.#byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** All scopes, deleted ones too. */
  all(): Iterable<Scope> {
    return this.#bySlot.values();
  }

  add(scope: Scope): void {
    this.#bySlot.set(scope.slot, scope);
    if (scope.deleted) return;
    this.#byId.set(scope.id, scope);
    if (scope.slot !== CLUSTER_SLOT) this.#byName.set(scope.name, scope);
  }

  /** Marks a scope to be written with this batch. */
  touch(scope: Scope): void {
    this.#changed.add(scope);
  }

  delete(scope: Scope): void {
    assert(scope.slot !== CLUSTER_SLOT, "The cluster's scope was deleted");
    scope.deleted = true;
    this.#byId.delete(scope.id);
    this.#byName.delete(scope.name);
    this.touch(scope);
  }

  /** Forgets a deleted scope that the backend has removed. */
  forget(scope: Scope): void {
    assert(scope.deleted, "A live scope was forgotten");
    this.#bySlot.delete(scope.slot);
  }

  save(): void {
    for (const scope of this.#changed) this.#backend.putScope(scope);
    this.#changed.clear();
  }
}

const NO_HASH: Uint8Array = new Uint8Array(32);

/** A scope as it begins: revision 1 (etcd's fresh store), never compacted, policy revision 1. */
export function newScope(
  made: Pick<ScopeRow, "slot" | "id" | "name" | "created">,
  hash: Uint8Array,
): Scope {
  return {
    ...made,
    revision: 1,
    compactRevision: -1,
    policyRevision: 1,
    hash,
    compactHash: hash,
    deleted: false,
  };
}

export function tenantInfo(scope: ScopeRow): TenantInfo {
  const { id, name, created, compactRevision, policyRevision } = scope;
  return {
    id,
    name,
    created,
    revision: revision(scope.revision),
    compactRevision: Math.max(0, compactRevision),
    policyRevision,
    suspended: false,
    limits: NO_LIMITS,
    compaction: NO_COMPACTION,
    usage: NO_USAGE,
  };
}
