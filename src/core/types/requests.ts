import type { Key, LeaseId, Revision } from "./ids.ts";
import type { KeyRange } from "./key-range.ts";
import type { KeyValue } from "./key-value.ts";

/**
 * etcd's KV requests and responses as plain values (etcdserverpb, rpc.proto). The same shapes serve
 * below the edge, where `value` holds sealed records, and above it, where it holds plaintext.
 */

export type SortOrder = "none" | "ascend" | "descend";
export type SortTarget = "key" | "version" | "create" | "mod" | "value";

export interface RangeRequest {
  readonly key: Key;
  /** "" for a single key, "\0" for all keys from `key`. */
  readonly rangeEnd: Key;
  /** 0 or less: no limit. */
  readonly limit: number;
  /** 0 or less: the latest (inside a transaction a negative one is compacted). */
  readonly revision: number;
  readonly sortOrder: SortOrder;
  readonly sortTarget: SortTarget;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** 0: no bound, for the four. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface PutRequest {
  readonly key: Key;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface DeleteRangeRequest {
  readonly key: Key;
  readonly rangeEnd: Key;
  readonly prevKv: boolean;
}

export type CompareResult = "equal" | "greater" | "less" | "not-equal";

/**
 * A condition on every key of a range. `value` appears only above the edge: the core is blind, so the
 * edge evaluates it and puts `decided` in its place, with a guard on the transaction.
 */
export type Compare =
  | (CompareOn & { readonly target: "version" | "create" | "mod"; readonly operand: number })
  | (CompareOn & { readonly target: "lease"; readonly operand: LeaseId })
  | (CompareOn & { readonly target: "value"; readonly operand: Uint8Array })
  | { readonly target: "decided"; readonly holds: boolean };

export interface CompareOn {
  readonly key: Key;
  readonly rangeEnd: Key;
  readonly result: CompareResult;
}

export type RequestOp =
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "delete-range"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest }
  /** An operation with none of the four set; refused with "key not found", as etcd. */
  | { readonly kind: "empty" };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

/** Holds while no key of the range has changed (been put or deleted) after `revision`. */
export interface Guard {
  readonly range: KeyRange;
  readonly revision: Revision;
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** All keys of the range at that revision, before limit and filters. */
  readonly count: number;
}

export interface PutResult {
  readonly prevKv: KeyValue | undefined;
}

export interface DeleteRangeResult {
  readonly deleted: number;
  /** Empty unless asked for. */
  readonly prevKvs: readonly KeyValue[];
}

export interface TxnResult {
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

/** The revision in each is the one etcd puts in the sub-response's header. */
export type ResponseOp =
  | { readonly kind: "range"; readonly revision: Revision; readonly response: RangeResult }
  | { readonly kind: "put"; readonly revision: Revision; readonly response: PutResult }
  | {
      readonly kind: "delete-range";
      readonly revision: Revision;
      readonly response: DeleteRangeResult;
    }
  | { readonly kind: "txn"; readonly revision: Revision; readonly response: TxnResult };
