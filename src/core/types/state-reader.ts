import type { HistoryItem, LeaseInfo, RecordTable } from "./command.ts";
import type { MemberInfo } from "./member.ts";
import type { ErrorCode } from "../../errors.ts";
import type { KeyRange } from "./key-range.ts";
import type { Key, LeaseId, MemberId, TenantId } from "./ids.ts";
import type { KeyValue } from "./key-value.ts";
import type { TenantInfo } from "./tenant.ts";
import type { RangeRequest, RangeResult, TxnRequest, TxnResult } from "./requests.ts";

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
  /** In order of name. */
  tenants(): readonly TenantInfo[];
  readonly tenantCount: number;
  members(): readonly MemberInfo[];
  /** Whether a member of this id was removed; it is in `members` no more, and never again. */
  isRemovedMember(id: MemberId): boolean;
  /** 0 for an unknown scope. */
  policyRevision(scope: TenantId): number;
  /**
   * Moves whenever credentials that were good in the scope may be so no more: with revocations of the
   * scope or the cluster, records of issuers, rules of certificates, and when the tenant is renamed or
   * suspended.
   */
  credentialRevision(scope: TenantId): number;
  record(scope: TenantId, table: RecordTable, id: string): Uint8Array | undefined;
  /** All records of a table, in id order. */
  records(scope: TenantId, table: RecordTable): readonly StoredRecord[];
  range(tenant: TenantId, request: RangeRequest): ReadResult<RangeResult>;
  /**
   * A transaction of ranges only, evaluated on the applied state without a log entry. Its VALUE
   * comparisons are `decided` already; asserts that it holds no write.
   */
  readTxn(tenant: TenantId, request: TxnRequest): ReadResult<TxnResult>;
  /** The highest mod or delete revision of any key of the range; 0 if none is known. */
  lastChange(tenant: TenantId, range: KeyRange): number;
  /** Newest first, at most `limit`, those before revision `before` (0: from the newest). */
  history(tenant: TenantId, key: Key, before: number, limit: number): readonly HistoryItem[];
  /**
   * The newest revision made at or before `timeMs` (milliseconds since the epoch) that is not
   * compacted; 1 if nothing was, but the tenant; 0 if none is known. By the times of the entries: where
   * those of two leaders overlap, one of the revisions made at about that time.
   */
  revisionAt(tenant: TenantId, timeMs: number): number;
  lease(tenant: TenantId, id: LeaseId, withKeys: boolean): LeaseInfo | undefined;
  leases(tenant: TenantId): readonly LeaseInfo[];
  /** A frozen view for work that spans several turns of the event loop; must be closed. */
  snapshot(): StateSnapshot;
}

/**
 * Reads of one moment that stay at it while the state moves on. The edge pages large ranges with
 * `scan` and `count`, so that no single call holds the event loop: each touches at most about `limit`
 * rows, whatever the size of the range.
 */
export interface StateSnapshot {
  tenant(id: TenantId): TenantInfo | undefined;
  range(tenant: TenantId, request: RangeRequest): ReadResult<RangeResult>;
  /**
   * The keys of `range` in key order at `revision` (0: the latest of the snapshot), at most `limit`;
   * `next` is where to go on, undefined at the end. Counts nothing beyond them.
   */
  scan(
    tenant: TenantId,
    range: KeyRange,
    options: { readonly revision: number; readonly limit: number; readonly keysOnly: boolean },
  ): ReadResult<{ readonly kvs: readonly KeyValue[]; readonly next: Key | undefined }>;
  /** Counts keys likewise, without reading their values. */
  count(
    tenant: TenantId,
    range: KeyRange,
    options: { readonly revision: number; readonly limit: number },
  ): ReadResult<{ readonly count: number; readonly next: Key | undefined }>;
  close(): void;
}

export interface StoredRecord {
  readonly id: string;
  readonly data: Uint8Array;
}
