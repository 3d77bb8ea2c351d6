import type {
  LeaseId,
  MemberId,
  MemberInfo,
  RecordTable,
  StoredRecord,
  TenantCompaction,
  TenantId,
  TenantLimits,
} from "../types/mod.ts";
import type { KeyBackend, KeyReader, Slot } from "../mvcc/mod.ts";
import type { LeaseBackend, LeaseRow } from "../lease/mod.ts";

/** A scope of state: a tenant, or the cluster itself in slot 0. */
export interface ScopeRow {
  readonly slot: Slot;
  readonly id: TenantId;
  /** "" for the cluster. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  readonly policyRevision: number;
  /** Of what the scope itself says about credentials: see `Scopes.credentialRevision`. */
  readonly credentialRevision: number;
  /** The hash chain at `revision`. */
  readonly hash: Uint8Array;
  /** The hash chain at `compactRevision`, or at revision 1 before that. */
  readonly compactHash: Uint8Array;
  /** Deleted: gone for everybody, its rows wait for removal. */
  readonly deleted: boolean;
  readonly suspended: boolean;
  /**
   * The lease clock, in milliseconds, when the scope was last suspended or resumed; -1 before. No lease
   * ends before its TTL after that, whatever its row says.
   */
  readonly leaseFloor: number;
  readonly limits: TenantLimits;
  readonly compaction: TenantCompaction;
  readonly keys: number;
  readonly leases: number;
  /**
   * Bytes of keys and sealed values. `appended`: of all changes ever. `garbage`: of those that no read
   * at `revision` can see, which are the versions since replaced or deleted, and the deletes.
   * `compactGarbage`: `garbage` as it was at `compactRevision`. So what can be read at any revision is
   * `appended - compactGarbage`, and at the latest `appended - garbage`, however far the removal has come.
   */
  readonly appended: number;
  readonly garbage: number;
  readonly compactGarbage: number;
}

/** How far the log has been applied. */
export interface Applied {
  readonly index: number;
  readonly term: number;
  /** The cluster's lease clock in milliseconds: the highest time of any entry applied. */
  readonly leaseTime: number;
}

/** The slot of the cluster's own records. */
export const CLUSTER_SLOT: Slot = 0;

/**
 * Where the state machine keeps its state. Synchronous. All changes happen inside `transaction`.
 * Expected failures of the medium are thrown as CofferError (`no-space`, `corrupt`, `storage-failed`).
 */
export interface FsmBackend extends KeyBackend, LeaseBackend {
  /**
   * Runs `work` in one transaction; if it throws, nothing it changed remains. A backend that commits
   * later may then have lost what was not flushed too: `appliedIndex` tells.
   */
  transaction<T>(work: () => T): T;
  /** Commits what a backend that commits later holds back; throws as `transaction`. */
  flush(): void;

  /** The index of the last entry applied; 0 when nothing has been, as the two below. */
  appliedIndex(): number;
  appliedTerm(): number;
  /** The cluster's lease clock in milliseconds. */
  leaseTime(): number;
  setApplied(applied: Applied): void;

  /** The configuration of the members as the node last gave it; the core does not read it. */
  confState(): Uint8Array | undefined;
  setConfState(confState: Uint8Array): void;

  scopes(): readonly ScopeRow[];
  /** Sets a scope, new or known by its slot. */
  putScope(row: ScopeRow): void;
  /**
   * Sets of a known scope what keys, leases, records and compaction move: revisions, hashes and counts.
   */
  moveScope(row: ScopeRow): void;
  /** Forgets a deleted scope whose rows are gone. */
  removeScope(slot: Slot): void;
  /** Slots are counted up and never used again, even when the scope is gone. */
  nextSlot(): Slot;

  record(slot: Slot, table: RecordTable, id: string): Uint8Array | undefined;
  /** In order of id by UTF-8 bytes. */
  records(slot: Slot, table: RecordTable): readonly StoredRecord[];
  putRecord(slot: Slot, table: RecordTable, record: StoredRecord): void;
  removeRecord(slot: Slot, table: RecordTable, id: string): void;
  removeRecords(slot: Slot): void;

  /** In order of id. */
  members(): readonly MemberInfo[];
  putMember(member: MemberInfo): void;
  /** Takes the member away, if it is there, and keeps its id as a removed one. */
  removeMember(id: MemberId): void;
  isRemovedMember(id: MemberId): boolean;

  /** At most `limit` leases of a slot after the one with the id `after`, in an order of ids. */
  leasePage(slot: Slot, after: LeaseId | undefined, limit: number): readonly LeaseRow[];

  /** Up to which revision compaction's removal has come in a scope, 0 at first; not replicated. */
  cleanRevision(slot: Slot): number;
  setCleanRevision(slot: Slot, revision: number): void;
  /** Removes up to `rows` rows of keys, history and leases of a slot; returns how many. */
  purge(slot: Slot, rows: number): number;
  /** Gives up to `pages` unused pages back to the file system; false when few enough are left. */
  vacuum(pages: number): boolean;

  /** A frozen view; must be closed. */
  snapshot(): BackendSnapshot;
}

export interface BackendSnapshot extends KeyReader {
  scope(id: TenantId): ScopeRow | undefined;
  close(): void;
}
