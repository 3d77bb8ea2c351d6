import {
  CLUSTER_SCOPE,
  NO_COMPACTION,
  NO_LIMITS,
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
  /** Changed, and whether in more than what `moveScope` writes. */
  readonly #changed = new Map<Scope, "moved" | "whole">();
  /** What was told of a tenant, until it changes. */
  readonly #infos = new Map<Scope, TenantInfo>();
  #inOrder: readonly Scope[] | undefined;
  /** Those that compaction, deletion or suspension may have left work for the cleaner, in its order. */
  readonly toClean: Set<Scope> = new Set();

  constructor(backend: FsmBackend) {
    this.#backend = backend;
    this.load();
  }

  /** Reads all scopes again, as after a rolled-back batch. */
  load(): void {
    for (const map of [this.#byId, this.#byName, this.#bySlot, this.#infos]) map.clear();
    this.#changed.clear();
    this.#inOrder = undefined;
    this.toClean.clear();
    const cluster = { slot: CLUSTER_SLOT, id: CLUSTER_SCOPE, name: "", created: 0 };
    this.add(newScope(cluster, NO_HASH));
    const rows = this.#backend.scopes();
    for (const row of rows) {
      const scope = { ...row };
      this.add(scope);
      const isFresh = !row.deleted && row.compactRevision < 0 && row.leaseFloor < 0;
      if (!isFresh) this.toClean.add(scope);
    }
    const isStored = rows.some(({ slot }) => slot === CLUSTER_SLOT);
    const scope = this.#bySlot.get(CLUSTER_SLOT);
    if (!isStored && scope !== undefined) this.rewrite(scope);
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

  /** The live tenants in order of name. */
  tenants(): readonly Scope[] {
    this.#inOrder ??= [...this.#byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return this.#inOrder;
  }

  get tenantCount(): number {
    return this.#byName.size;
  }

  /** The same object until the scope changes. */
  info(scope: Scope): TenantInfo {
    const known = this.#infos.get(scope);
    if (known !== undefined) return known;
    const info = tenantInfo(scope);
    this.#infos.set(scope, info);
    return info;
  }

  /** Whether there is a scope of this id, or a deleted one whose rows wait for removal. */
  isKnown(id: TenantId): boolean {
    for (const scope of this.#bySlot.values()) if (scope.id === id) return true;
    return false;
  }

  add(scope: Scope): void {
    this.#bySlot.set(scope.slot, scope);
    if (scope.deleted) return;
    this.#byId.set(scope.id, scope);
    if (scope.slot === CLUSTER_SLOT) return;
    this.#byName.set(scope.name, scope);
    this.#inOrder = undefined;
  }

  /**
   * Two scopes decide about credentials, the cluster's and the tenant's own. Neither number ever falls,
   * so the sum stays only if both do.
   */
  credentialRevision(scope: Scope): number {
    const cluster = this.#bySlot.get(CLUSTER_SLOT);
    assert(cluster !== undefined, "The cluster's scope is gone");
    const own = scope === cluster ? 0 : scope.credentialRevision;
    return cluster.credentialRevision + own;
  }

  /** Marks a scope to be written with this batch, what `moveScope` writes of it. */
  touch(scope: Scope): void {
    if (!this.#changed.has(scope)) this.#changed.set(scope, "moved");
    this.#infos.delete(scope);
  }

  /** Marks a scope to be written with this batch, all of it. */
  rewrite(scope: Scope): void {
    this.#changed.set(scope, "whole");
    this.#infos.delete(scope);
  }

  rename(scope: Scope, name: string): void {
    this.#byName.delete(scope.name);
    scope.name = name;
    this.#byName.set(name, scope);
    this.#inOrder = undefined;
    this.rewrite(scope);
  }

  delete(scope: Scope): void {
    assert(scope.slot !== CLUSTER_SLOT, "The cluster's scope was deleted");
    scope.deleted = true;
    this.#byId.delete(scope.id);
    this.#byName.delete(scope.name);
    this.#inOrder = undefined;
    this.rewrite(scope);
    this.toClean.add(scope);
  }

  /** Forgets a deleted scope that the backend has removed. */
  forget(scope: Scope): void {
    assert(scope.deleted, "A live scope was forgotten");
    this.#bySlot.delete(scope.slot);
  }

  save(): void {
    for (const [scope, how] of this.#changed) {
      if (how === "whole") this.#backend.putScope(scope);
      else this.#backend.moveScope(scope);
    }
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
    credentialRevision: 1,
    hash,
    compactHash: hash,
    deleted: false,
    suspended: false,
    leaseFloor: -1,
    limits: NO_LIMITS,
    compaction: NO_COMPACTION,
    keys: 0,
    leases: 0,
    appended: 0,
    garbage: 0,
    compactGarbage: 0,
  };
}

export function tenantInfo(scope: ScopeRow): TenantInfo {
  const { id, name, created, compactRevision, policyRevision, suspended, limits } = scope;
  return {
    id,
    name,
    created,
    revision: revision(scope.revision),
    compactRevision: Math.max(0, compactRevision),
    policyRevision,
    suspended,
    limits,
    compaction: scope.compaction,
    usage: {
      keys: scope.keys,
      leases: scope.leases,
      bytes: readableBytes(scope),
      liveBytes: scope.appended - scope.garbage,
    },
  };
}

/** Of keys and sealed values of all that can be read. */
export function readableBytes({ appended, compactGarbage }: ScopeRow): number {
  return appended - compactGarbage;
}
