import type { MemberId, MemberInfo, RecordTable, StoredRecord, TenantId } from "../types/mod.ts";
import type { KeyBackend, KeyReader, Slot } from "../mvcc/mod.ts";
import type { LeaseBackend } from "../lease/mod.ts";

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
  /** The hash chain at `revision`. */
  readonly hash: Uint8Array;
  /** The hash chain at `compactRevision`, or at revision 1 before that. */
  readonly compactHash: Uint8Array;
  /** Deleted: gone for everybody, its rows wait for removal. */
  readonly deleted: boolean;
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
