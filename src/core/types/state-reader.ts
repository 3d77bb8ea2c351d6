import type { HistoryItem, LeaseInfo, MemberInfo, RecordTable, TenantInfo } from "./command.ts";
import type { ErrorCode } from "../../errors.ts";
import type { KeyRange } from "./key-range.ts";
import type { Key, LeaseId, TenantId } from "./ids.ts";
import type { RangeRequest, RangeResult } from "./requests.ts";

/** A read that can be refused: compacted or future revision. */
export type ReadResult<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: ErrorCode };

/**
 * The applied state of this member, read synchronously. Every answer is of one moment: between two
 * applied batches. Nothing here is linearizable by itself; the caller has waited for a read index.
 */
export interface StateReader {
  tenant(id: TenantId): TenantInfo | undefined;
  tenantByName(name: string): TenantInfo | undefined;
  tenants(): readonly TenantInfo[];
  members(): readonly MemberInfo[];
  /** 0 for an unknown scope. */
  policyRevision(scope: TenantId): number;
  record(scope: TenantId, table: RecordTable, id: string): Uint8Array | undefined;
  /** All records of a table, in id order. */
  records(scope: TenantId, table: RecordTable): readonly StoredRecord[];
  range(tenant: TenantId, request: RangeRequest): ReadResult<RangeResult>;
  /** The highest mod or delete revision of any key of the range; 0 if none is known. */
  lastChange(tenant: TenantId, range: KeyRange): number;
  /** Newest first, at most `limit`, those before revision `before` (0: from the newest). */
  history(tenant: TenantId, key: Key, before: number, limit: number): readonly HistoryItem[];
  lease(tenant: TenantId, id: LeaseId, withKeys: boolean): LeaseInfo | undefined;
  leases(tenant: TenantId): readonly LeaseInfo[];
  /** A frozen view for work that spans several turns of the event loop; must be closed. */
  snapshot(): StateSnapshot;
}

/** Reads of one moment that stay at it while the state moves on. */
export interface StateSnapshot {
  tenant(id: TenantId): TenantInfo | undefined;
  range(tenant: TenantId, request: RangeRequest): ReadResult<RangeResult>;
  /**
   * Counts the keys of `range` at the latest revision of the snapshot, at most `limit` of them;
   * `next` is where to go on, undefined at the end.
   */
  count(
    tenant: TenantId,
    range: KeyRange,
    limit: number,
  ): { readonly count: number; readonly next: Key | undefined };
  close(): void;
}

export interface StoredRecord {
  readonly id: string;
  readonly data: Uint8Array;
}
