import {
  type AppliedChange,
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type LeaseId,
  type Proposal,
  type StateReader,
  type TenantId,
  type WatchSource,
} from "../types/mod.ts";
import { type Hash, createChain } from "../mvcc/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { FsmBackend } from "./backend.ts";
import { type KeyApplier, createKeyApplier, refused } from "./apply-keys.ts";
import { type RecordsChanged, changeRecords, noteTables, writeRecords } from "./apply-records.ts";
import { type Scope, Scopes, newScope } from "./scopes.ts";
import { createStateReader } from "./reader.ts";
import { createWatchSource } from "./watch-source.ts";
import { createCleaner } from "./clean.ts";

/** One committed entry of the log, decoded. */
export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  readonly proposals: readonly Proposal[];
}

/** What one call of `apply` did. */
export interface AppliedBatch {
  /** One per entry, in it one per proposal. */
  readonly results: readonly (readonly ApplyResult[])[];
  /** In order of application; a tenant's revisions ascend. */
  readonly changes: readonly AppliedChange[];
  readonly recordChanges: readonly RecordsChanged[];
  readonly tenantsDeleted: readonly TenantId[];
}

export interface ChainPoint {
  readonly revision: number;
  readonly hash: Uint8Array;
}

/** The state machine that every member feeds with the same entries. */
export interface Fsm {
  /** The index of the last entry applied, 0 before the first. */
  readonly appliedIndex: number;
  /**
   * Applies entries in one backend transaction, the applied index with them. Deterministic: equal
   * entries give equal state and answers on every member. Throws what the backend throws (`no-space`,
   * `corrupt`, `storage-failed`); nothing of the batch remains then, and it can be applied again.
   */
  apply(entries: readonly CommittedEntry[]): AppliedBatch;
  /**
   * Commits what the backend holds back. Throws what it throws; then, as after a failed `apply`, what
   * was not committed is gone, and `appliedIndex` says from where the log is to be applied again.
   */
  flush(): void;
  readonly reader: StateReader;
  readonly watchSource: WatchSource;
  /** At most `max` leases with a deadline at or before `now`, earliest first. */
  expiredLeases(
    now: number,
    max: number,
  ): readonly { readonly tenant: TenantId; readonly id: LeaseId }[];
  /** Milliseconds since the epoch; `undefined` without leases. */
  nextLeaseDeadline(): number | undefined;
  /**
   * Removes up to about `budgetRows` rows that compaction or tenant deletion left behind, or gives
   * some unused pages back. Returns true while work is left.
   */
  compactStep(budgetRows: number): boolean;
  /**
   * The tenant's hash chain at `revision` (0: the latest) and where it can be checked from;
   * `undefined` if the revision is compacted, in the future, or of no tenant.
   */
  chainAt(
    tenant: TenantId,
    revision: number,
  ): { readonly at: ChainPoint; readonly compacted: ChainPoint } | undefined;
}

export function createFsm(backend: FsmBackend, hash: Hash): Fsm {
  return new StateMachine(backend, hash);
}

/** What a batch gathers while it is applied. */
interface Gathered {
  readonly changes: AppliedChange[];
  readonly recordChanges: RecordsChanged[];
  readonly tenantsDeleted: TenantId[];
}

class StateMachine implements Fsm {
  readonly #backend: FsmBackend;
  readonly #scopes: Scopes;
  readonly #keys: KeyApplier;
  readonly #chain: ReturnType<typeof createChain>;
  readonly #clean: (budgetRows: number) => boolean;
  #appliedIndex: number;
  readonly reader: StateReader;
  readonly watchSource: WatchSource;

  constructor(backend: FsmBackend, hash: Hash) {
    this.#backend = backend;
    this.#scopes = new Scopes(backend);
    this.#chain = createChain(hash);
    this.#keys = createKeyApplier(backend, this.#scopes, this.#chain);
    this.#clean = createCleaner(backend, this.#scopes);
    this.#appliedIndex = backend.appliedIndex();
    this.reader = createStateReader(backend, this.#scopes, () => this.flush());
    this.watchSource = createWatchSource(backend, this.#scopes);
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  apply(entries: readonly CommittedEntry[]): AppliedBatch {
    const gathered: Gathered = { changes: [], recordChanges: [], tenantsDeleted: [] };
    const last = entries.at(-1);
    if (last === undefined) return { results: [], ...gathered };
    assertFollows(this.#appliedIndex, entries);
    let results: readonly (readonly ApplyResult[])[];
    try {
      results = this.#backend.transaction(() => {
        const made = entries.map(({ proposals }) =>
          proposals.map((proposal) => this.#applyProposal(proposal, gathered)),
        );
        this.#scopes.save();
        this.#backend.setAppliedIndex(last.index);
        return made;
      });
    } catch (failure) {
      this.#reload();
      throw failure;
    }
    this.#appliedIndex = last.index;
    return { results, ...gathered };
  }

  flush(): void {
    try {
      this.#backend.flush();
    } catch (failure) {
      this.#reload();
      throw failure;
    }
  }

  /** Goes back to what the backend holds. */
  #reload(): void {
    this.#scopes.load();
    this.#appliedIndex = this.#backend.appliedIndex();
  }

  #applyProposal(proposal: Proposal, gathered: Gathered): ApplyResult {
    const scope = this.#scopes.byId(proposal.tenant);
    if (scope === undefined) return refused("not-found", "there is no such tenant");
    const { policyRevision, command } = proposal;
    if (policyRevision !== undefined && policyRevision !== scope.policyRevision) {
      return { kind: "stale-policy", policyRevision: scope.policyRevision };
    }
    switch (command.kind) {
      case "tenant-create":
        return this.#createTenant(scope, { command, time: proposal.time }, gathered);
      case "tenant-delete":
        return this.#deleteTenant(scope, command.id, gathered);
      case "records": {
        const on = { scope, scopes: this.#scopes, changed: gathered.recordChanges };
        return changeRecords(this.#backend, on, command.changes);
      }
      case "member":
        this.#backend.putMember(command.member);
        return { kind: "done", policyRevision: scope.policyRevision };
      default: {
        if (scope.id === CLUSTER_SCOPE) {
          return refused("invalid-argument", "the cluster's scope holds no keys");
        }
        return this.#keys.apply(scope, { ...proposal, command }, gathered.changes);
      }
    }
  }

  #createTenant(
    scope: Scope,
    wanted: { command: Extract<Command, { kind: "tenant-create" }>; time: number },
    gathered: Gathered,
  ): ApplyResult {
    const { id, name, records } = wanted.command;
    if (scope.id !== CLUSTER_SCOPE || id === CLUSTER_SCOPE || name === "") {
      return refused("invalid-argument", "a tenant needs an id and a name, in the cluster's scope");
    }
    if (this.#scopes.byName(name) !== undefined) return refused("already-exists", "tenant name");
    for (const known of this.#scopes.all()) {
      if (known.id === id) return refused("already-exists", "tenant id");
    }
    const slot = this.#backend.nextSlot();
    const tenant = newScope({ slot, id, name, created: wanted.time }, this.#chain.first(id));
    this.#scopes.add(tenant);
    this.#scopes.touch(tenant);
    writeRecords(this.#backend, tenant, records);
    noteTables(gathered.recordChanges, id, records);
    return { kind: "done", policyRevision: tenant.policyRevision };
  }

  /** Its records, wrapped keys among them, go at once; keys and history in slices by `compactStep`. */
  #deleteTenant(scope: Scope, id: TenantId, gathered: Gathered): ApplyResult {
    if (scope.id !== CLUSTER_SCOPE && scope.id !== id) {
      return refused("invalid-argument", "one tenant cannot delete another");
    }
    const tenant = this.#scopes.tenant(id);
    if (tenant === undefined) return refused("not-found", "there is no such tenant");
    this.#scopes.delete(tenant);
    this.#backend.removeRecords(tenant.slot);
    gathered.tenantsDeleted.push(id);
    return { kind: "done", policyRevision: scope.policyRevision };
  }

  expiredLeases(now: number, max: number): readonly { tenant: TenantId; id: LeaseId }[] {
    return this.#backend.expiredLeases(now, max).map(({ slot, id }) => {
      const scope = this.#scopes.bySlot(slot);
      assert(scope !== undefined, "A lease belongs to no tenant");
      return { tenant: scope.id, id };
    });
  }

  nextLeaseDeadline(): number | undefined {
    return this.#backend.nextLeaseDeadline();
  }

  compactStep(budgetRows: number): boolean {
    try {
      return this.#clean(budgetRows);
    } catch (failure) {
      this.#reload();
      throw failure;
    }
  }

  chainAt(
    tenant: TenantId,
    revision: number,
  ): { at: ChainPoint; compacted: ChainPoint } | undefined {
    const scope = this.#scopes.tenant(tenant);
    if (scope === undefined || revision > scope.revision) return undefined;
    const first = Math.max(scope.compactRevision, 1);
    const wanted = revision <= 0 ? scope.revision : revision;
    const compacted = { revision: first, hash: scope.compactHash };
    if (wanted < first) return undefined;
    if (wanted === first) return { at: compacted, compacted };
    const hash = wanted === scope.revision ? scope.hash : this.#backend.hashAt(scope.slot, wanted);
    assert(hash !== undefined, "History lost the hash of a revision");
    return { at: { revision: wanted, hash }, compacted };
  }
}

function assertFollows(appliedIndex: number, entries: readonly CommittedEntry[]): void {
  let before = appliedIndex;
  for (const { index } of entries) {
    assert(index > before, "An entry was applied twice or out of order");
    before = index;
  }
}
