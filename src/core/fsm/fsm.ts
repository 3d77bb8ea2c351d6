import {
  type AppliedChange,
  type ApplyResult,
  CLUSTER_SCOPE,
  type LeaseId,
  type Proposal,
  type StateReader,
  type TenantId,
  type WatchSource,
} from "../types/mod.ts";
import { type Hash, createChain } from "../mvcc/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { Applied, FsmBackend } from "./backend.ts";
import { type KeyApplier, createKeyApplier } from "./apply-keys.ts";
import { refused } from "./refused.ts";
import { changeMembers } from "./apply-members.ts";
import { type RecordsChanged, changeRecords } from "./apply-records.ts";
import { type TenantApplier, createTenantApplier } from "./apply-tenants.ts";
import { Scopes } from "./scopes.ts";
import { createStateReader } from "./reader.ts";
import { createWatchSource } from "./watch-source.ts";
import { createCleaner } from "./clean.ts";

/** One committed entry of the log, decoded. */
export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  /** Milliseconds since the epoch at the leader, for people. 0 without proposals. */
  readonly time: number;
  /**
   * Milliseconds of the cluster's lease clock, which the leader goes on with; one below that of an
   * earlier entry counts as that. 0 without proposals.
   */
  readonly leaseTime: number;
  readonly proposals: readonly Proposal[];
  /**
   * False for an entry of before there were credential revisions: it moves none. Else those who applied it
   * then and those who come to it later would have other numbers. Default true.
   */
  readonly movesCredentials?: boolean;
  /** Where the entry changed the members: the configuration that it gave, for `Fsm.confState`. */
  readonly confState?: Uint8Array | undefined;
}

/** What one call of `apply` did. */
export interface AppliedBatch {
  /** One per entry, in it one per proposal. */
  readonly results: readonly (readonly ApplyResult[])[];
  /** In order of application; a tenant's revisions ascend. */
  readonly changes: readonly AppliedChange[];
  readonly recordChanges: readonly RecordsChanged[];
  /** Renamed, suspended or resumed, or with other limits or another compaction. */
  readonly tenantsChanged: readonly TenantId[];
  readonly tenantsDeleted: readonly TenantId[];
  /** Whether the table of members may have changed. */
  readonly membersChanged: boolean;
}

export interface ChainPoint {
  readonly revision: number;
  readonly hash: Uint8Array;
}

/** The state machine that every member feeds with the same entries. */
export interface Fsm {
  /** The index of the last entry applied, 0 before the first. */
  readonly appliedIndex: number;
  /** Its term. */
  readonly appliedTerm: number;
  /** The cluster's lease clock as of that entry, in milliseconds; never goes back. */
  readonly leaseTime: number;
  /** The configuration of the members that the last change of it gave; `undefined` before one. */
  readonly confState: Uint8Array | undefined;
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
  /** Goes on from what the backend holds now: another state, as after a snapshot was installed. */
  reload(): void;
  readonly reader: StateReader;
  readonly watchSource: WatchSource;
  /** At most `max` leases with a deadline at or before `leaseNow`, earliest first. */
  expiredLeases(
    leaseNow: number,
    max: number,
  ): readonly { readonly tenant: TenantId; readonly id: LeaseId }[];
  /** Milliseconds of the lease clock; `undefined` without leases. */
  nextLeaseDeadline(): number | undefined;
  /**
   * Removes up to about `budgetRows` rows that compaction or tenant deletion left behind, brings that
   * many leases in line with the suspension of their tenant, or gives some unused pages back. Returns
   * true while work is left.
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
  readonly tenantsChanged: TenantId[];
  readonly tenantsDeleted: TenantId[];
  membersChanged: boolean;
}

/** When the proposals of an entry happen. */
interface EntryTimes {
  readonly time: number;
  readonly leaseTime: number;
  readonly movesCredentials: boolean;
}

class StateMachine implements Fsm {
  readonly #backend: FsmBackend;
  readonly #scopes: Scopes;
  readonly #keys: KeyApplier;
  readonly #tenants: TenantApplier;
  #clean: (budgetRows: number) => boolean;
  #applied: Applied;
  readonly reader: StateReader;
  readonly watchSource: WatchSource;

  constructor(backend: FsmBackend, hash: Hash) {
    this.#backend = backend;
    this.#scopes = new Scopes(backend);
    const chain = createChain(hash);
    this.#keys = createKeyApplier(backend, this.#scopes, chain);
    this.#tenants = createTenantApplier({ backend, scopes: this.#scopes, chain });
    this.#clean = createCleaner(backend, this.#scopes);
    this.#applied = appliedOf(backend);
    this.reader = createStateReader(backend, this.#scopes, () => this.flush());
    this.watchSource = createWatchSource(backend, this.#scopes);
  }

  get appliedIndex(): number {
    return this.#applied.index;
  }

  get appliedTerm(): number {
    return this.#applied.term;
  }

  get leaseTime(): number {
    return this.#applied.leaseTime;
  }

  get confState(): Uint8Array | undefined {
    return this.#backend.confState();
  }

  apply(entries: readonly CommittedEntry[]): AppliedBatch {
    const gathered: Gathered = {
      changes: [],
      recordChanges: [],
      tenantsChanged: [],
      tenantsDeleted: [],
      membersChanged: false,
    };
    const last = entries.at(-1);
    if (last === undefined) return { results: [], ...gathered };
    assertFollows(this.#applied.index, entries);
    let { leaseTime } = this.#applied;
    const results: (readonly ApplyResult[])[] = [];
    try {
      this.#backend.transaction(() => {
        for (const entry of entries) {
          const { time, proposals, confState, movesCredentials = true } = entry;
          leaseTime = Math.max(leaseTime, entry.leaseTime);
          const at = { time, leaseTime, movesCredentials };
          results.push(proposals.map((one) => this.#applyProposal(one, at, gathered)));
          if (confState !== undefined) this.#backend.setConfState(confState);
        }
        this.#scopes.save();
        this.#backend.setApplied({ index: last.index, term: last.term, leaseTime });
      });
    } catch (failure) {
      this.reload();
      throw failure;
    }
    this.#applied = { index: last.index, term: last.term, leaseTime };
    return { results, ...gathered };
  }

  flush(): void {
    try {
      this.#backend.flush();
    } catch (failure) {
      this.reload();
      throw failure;
    }
  }

  reload(): void {
    this.#scopes.load();
    this.#clean = createCleaner(this.#backend, this.#scopes);
    this.#applied = appliedOf(this.#backend);
  }

  #applyProposal(proposal: Proposal, at: EntryTimes, gathered: Gathered): ApplyResult {
    const scope = this.#scopes.byId(proposal.tenant);
    if (scope === undefined) return refused("not-found", "there is no such tenant");
    const { policyRevision, credentialRevision, command } = proposal;
    if (credentialRevision !== undefined) {
      const now = this.#scopes.credentialRevision(scope);
      if (credentialRevision !== now) return { kind: "stale-credentials", credentialRevision: now };
    }
    if (policyRevision !== undefined && policyRevision !== scope.policyRevision) {
      return { kind: "stale-policy", policyRevision: scope.policyRevision };
    }
    switch (command.kind) {
      case "tenant-create":
      case "tenant-update":
      case "tenant-delete":
        return this.#tenants.apply(scope, command, { ...at, ...gathered });
      case "records": {
        const { movesCredentials } = at;
        const changed = gathered.recordChanges;
        const on = { scope, scopes: this.#scopes, changed, movesCredentials };
        return changeRecords(this.#backend, on, command.changes);
      }
      case "member":
      case "member-add":
      case "member-remove":
      case "member-promote":
      case "member-update":
        gathered.membersChanged = true;
        return changeMembers(this.#backend, scope, command);
      default: {
        if (scope.id === CLUSTER_SCOPE) {
          return refused("invalid-argument", "the cluster's scope holds no keys");
        }
        return this.#keys.apply(scope, { actor: proposal.actor, command, ...at }, gathered.changes);
      }
    }
  }

  expiredLeases(leaseNow: number, max: number): readonly { tenant: TenantId; id: LeaseId }[] {
    return this.#backend.expiredLeases(leaseNow, max).map(({ slot, id }) => {
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
      this.reload();
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
    if (wanted === scope.revision) {
      return { at: { revision: wanted, hash: scope.hash }, compacted };
    }
    const row = this.#backend.revisionRow(scope.slot, wanted);
    assert(row !== undefined, "History lost a revision");
    return { at: { revision: wanted, hash: row.hash }, compacted };
  }
}

function appliedOf(backend: FsmBackend): Applied {
  return {
    index: backend.appliedIndex(),
    term: backend.appliedTerm(),
    leaseTime: backend.leaseTime(),
  };
}

function assertFollows(appliedIndex: number, entries: readonly CommittedEntry[]): void {
  let before = appliedIndex;
  for (const { index } of entries) {
    assert(index > before, "An entry was applied twice or out of order");
    before = index;
  }
}
