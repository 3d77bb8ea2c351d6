import {
  type Compare,
  type CompareResult,
  type DeleteRangeRequest,
  type Key,
  type LeaseId,
  NO_LEASE,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type SortOrder,
  type SortTarget,
  type TxnRequest,
  key,
  leaseId,
} from "../../core/types/mod.ts";
import { CofferError } from "../../errors.ts";
import { WireReader } from "../../proto/mod.ts";

/**
 * The KV requests, read straight from the wire into the edge's plain requests: no object between.
 * Tags are written as field number << 3 | wire type. The generated code is the judge in tests.
 */

/** Deeper than any transaction that can pass etcd's budget of 128 operations for all levels. */
const TXN_DEPTH_MAX = 128;

const EMPTY_KEY: Key = key("");
const NO_BYTES = new Uint8Array(0);

const SORT_ORDERS: readonly SortOrder[] = ["none", "ascend", "descend"];
const SORT_TARGETS: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const COMPARE_RESULTS: readonly CompareResult[] = ["equal", "greater", "less", "not-equal"];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function decodeRange(bytes: Uint8Array): RangeRequest {
  const reader = new WireReader(bytes);
  const request: Mutable<RangeRequest> = {
    key: EMPTY_KEY,
    rangeEnd: EMPTY_KEY,
    limit: 0,
    revision: 0,
    sortOrder: "none",
    sortTarget: "key",
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) request.key = key(reader.byteString());
    else if (tag === 0x12) request.rangeEnd = key(reader.byteString());
    else if (tag === 0x18) request.limit = reader.int();
    else if (tag === 0x20) request.revision = reader.int();
    else if (tag === 0x28) request.sortOrder = sortOption(SORT_ORDERS, reader.uint32());
    else if (tag === 0x30) request.sortTarget = sortOption(SORT_TARGETS, reader.uint32());
    else if (tag === 0x38) request.serializable = reader.bool();
    else if (tag === 0x40) request.keysOnly = reader.bool();
    else if (tag === 0x48) request.countOnly = reader.bool();
    else if (tag === 0x50) request.minModRevision = reader.int();
    else if (tag === 0x58) request.maxModRevision = reader.int();
    else if (tag === 0x60) request.minCreateRevision = reader.int();
    else if (tag === 0x68) request.maxCreateRevision = reader.int();
    else reader.skip(tag);
  }
  return request;
}

export function decodePut(bytes: Uint8Array): PutRequest {
  const reader = new WireReader(bytes);
  const request: Mutable<PutRequest> = {
    key: EMPTY_KEY,
    value: NO_BYTES,
    lease: NO_LEASE,
    prevKv: false,
    ignoreValue: false,
    ignoreLease: false,
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) request.key = key(reader.byteString());
    else if (tag === 0x12) request.value = reader.bytes();
    else if (tag === 0x18) request.lease = leaseId(reader.big());
    else if (tag === 0x20) request.prevKv = reader.bool();
    else if (tag === 0x28) request.ignoreValue = reader.bool();
    else if (tag === 0x30) request.ignoreLease = reader.bool();
    else reader.skip(tag);
  }
  return request;
}

export function decodeDeleteRange(bytes: Uint8Array): DeleteRangeRequest {
  const reader = new WireReader(bytes);
  const request: Mutable<DeleteRangeRequest> = {
    key: EMPTY_KEY,
    rangeEnd: EMPTY_KEY,
    prevKv: false,
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) request.key = key(reader.byteString());
    else if (tag === 0x12) request.rangeEnd = key(reader.byteString());
    else if (tag === 0x18) request.prevKv = reader.bool();
    else reader.skip(tag);
  }
  return request;
}

export function decodeTxn(bytes: Uint8Array): TxnRequest {
  return txnAt(bytes, 0);
}

function txnAt(bytes: Uint8Array, depth: number): TxnRequest {
  if (depth > TXN_DEPTH_MAX) throw new CofferError("too-many-ops");
  const reader = new WireReader(bytes);
  const compare: Compare[] = [];
  const success: RequestOp[] = [];
  const failure: RequestOp[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) compare.push(decodeCompare(reader.bytes()));
    else if (tag === 0x12) success.push(requestOp(reader.bytes(), depth));
    else if (tag === 0x1a) failure.push(requestOp(reader.bytes(), depth));
    else reader.skip(tag);
  }
  return { compare, success, failure };
}

/** The last of the four wins, as in every oneof. */
function requestOp(bytes: Uint8Array, depth: number): RequestOp {
  const reader = new WireReader(bytes);
  let op: RequestOp = { kind: "empty" };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) op = { kind: "range", request: decodeRange(reader.bytes()) };
    else if (tag === 0x12) op = { kind: "put", request: decodePut(reader.bytes()) };
    else if (tag === 0x1a)
      op = { kind: "delete-range", request: decodeDeleteRange(reader.bytes()) };
    else if (tag === 0x22) op = { kind: "txn", request: txnAt(reader.bytes(), depth + 1) };
    else reader.skip(tag);
  }
  return op;
}

/** What the target_union of a Compare held; its field number says which target it is meant for. */
interface Operand {
  field: number;
  int: number;
  lease: LeaseId;
  bytes: Uint8Array;
}

function decodeCompare(bytes: Uint8Array): Compare {
  const reader = new WireReader(bytes);
  let result = 0;
  let target = 0;
  let on = EMPTY_KEY;
  let rangeEnd = EMPTY_KEY;
  const operand: Operand = { field: 0, int: 0, lease: NO_LEASE, bytes: NO_BYTES };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) result = reader.uint32();
    else if (tag === 0x10) target = reader.uint32();
    else if (tag === 0x1a) on = key(reader.byteString());
    else if (tag === 0x202) rangeEnd = key(reader.byteString());
    else if (tag === 0x3a) operand.bytes = reader.bytes();
    else if (tag === 0x40) operand.lease = leaseId(reader.big());
    else if (tag === 0x20 || tag === 0x28 || tag === 0x30) operand.int = reader.int();
    else {
      reader.skip(tag);
      continue;
    }
    if (tag >= 0x20 && tag <= 0x40) operand.field = tag >>> 3;
  }
  const named = COMPARE_RESULTS[result];
  if (named === undefined) throw new CofferError("invalid-argument", "unknown compare result");
  return compareOf({ key: on, rangeEnd, result: named }, target, operand);
}

/**
 * The target says what is compared; an operand of another target counts as absent, that is zero
 * (etcd server/etcdserver/txn, applyCompare reads through the oneof's getters).
 */
function compareOf(
  on: { readonly key: Key; readonly rangeEnd: Key; readonly result: CompareResult },
  target: number,
  operand: Operand,
): Compare {
  const given = operand.field === target + 4;
  switch (target) {
    case 0:
      return { ...on, target: "version", operand: given ? operand.int : 0 };
    case 1:
      return { ...on, target: "create", operand: given ? operand.int : 0 };
    case 2:
      return { ...on, target: "mod", operand: given ? operand.int : 0 };
    case 3:
      return { ...on, target: "value", operand: given ? operand.bytes : NO_BYTES };
    case 4:
      return { ...on, target: "lease", operand: given ? operand.lease : NO_LEASE };
    default:
      throw new CofferError("invalid-argument", "unknown compare target");
  }
}

function sortOption<T>(options: readonly T[], value: number): T {
  const option = options[value];
  if (option === undefined) throw new CofferError("invalid-sort-option");
  return option;
}
