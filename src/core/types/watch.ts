import type { Key, Revision, TenantId } from "./ids.ts";
import type { KeyEvent, KeyValue } from "./key-value.ts";

/** etcd's WatchCreateRequest as a plain value. */
export interface WatchCreateRequest {
  readonly key: Key;
  readonly rangeEnd: Key;
  /** 0: after the current revision. */
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  /** 0: drawn by the server. */
  readonly watchId: number;
  readonly fragment: boolean;
}

export interface WatchEvent extends KeyEvent {
  readonly prevKv: KeyValue | undefined;
}

/** etcd's WatchResponse without the header's member fields. */
export interface WatchResponse {
  readonly watchId: number;
  /** header.revision; 0 where etcd sends 0. */
  readonly revision: Revision;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

/** All changes of one revision of one tenant, in order of `sub`. Never empty. */
export interface AppliedChange {
  readonly tenant: TenantId;
  readonly revision: Revision;
  readonly events: readonly WatchEvent[];
}

/** What watches read of the state to catch up. */
export interface WatchSource {
  /** `undefined`: there is no such tenant. */
  revisions(
    tenant: TenantId,
  ): { readonly revision: Revision; readonly compactRevision: number } | undefined;
  /**
   * The changes of revisions from `from` up, whole revisions, at most `revisionsMax` of them; it may
   * stop after the revision whose keys and values take the total to `bytesMax`.
   */
  changes(
    tenant: TenantId,
    from: number,
    revisionsMax: number,
    bytesMax: number,
  ): readonly AppliedChange[];
}
