import {
  type DeleteRangeRequest,
  type Key,
  type KeyRange,
  NO_LEASE,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
  keyRange,
  rangeHas,
} from "../types/mod.ts";
import type { ErrorCode } from "../../errors.ts";

/**
 * What etcd refuses by the request alone, before it is proposed (server/etcdserver/api/v3rpc/key.go).
 * Each returns the error code, or `undefined` for a well-formed request.
 */
export function checkRange(request: RangeRequest): ErrorCode | undefined {
  return request.key === "" ? "key-empty" : undefined;
}

export function checkPut(request: PutRequest): ErrorCode | undefined {
  if (request.key === "") return "key-empty";
  if (request.ignoreValue && request.value.length > 0) return "value-provided";
  if (request.ignoreLease && request.lease !== NO_LEASE) return "lease-provided";
  return undefined;
}

export function checkDeleteRange(request: DeleteRangeRequest): ErrorCode | undefined {
  return request.key === "" ? "key-empty" : undefined;
}

/**
 * Checks the shape of a transaction and of everything in it: at most `maxOps` compares or operations
 * in each list (nested ones share what the parent left), keys given, no key put twice or put and
 * deleted on one path.
 */
export function checkTxn(request: TxnRequest, maxOps: number): ErrorCode | undefined {
  return (
    checkShape(request, maxOps) ??
    collect(request.success, newFootprint()) ??
    collect(request.failure, newFootprint())
  );
}

function checkShape(request: TxnRequest, maxOps: number): ErrorCode | undefined {
  const ops = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (ops > maxOps) return "too-many-ops";
  for (const compare of request.compare) {
    if (compare.target !== "decided" && compare.key === "") return "key-empty";
  }
  return checkOps(request.success, maxOps - ops) ?? checkOps(request.failure, maxOps - ops);
}

function checkOps(ops: readonly RequestOp[], nestedMax: number): ErrorCode | undefined {
  for (const op of ops) {
    const code = checkOp(op, nestedMax);
    if (code !== undefined) return code;
  }
  return undefined;
}

function checkOp(op: RequestOp, nestedMax: number): ErrorCode | undefined {
  switch (op.kind) {
    case "range":
      return checkRange(op.request);
    case "put":
      return checkPut(op.request);
    case "delete-range":
      return checkDeleteRange(op.request);
    case "txn":
      return checkShape(op.request, nestedMax);
    case "empty":
      return "key-not-found";
  }
}

/** The keys that a list of operations may put, and the ranges that it may delete. */
interface Footprint {
  readonly puts: Set<Key>;
  readonly deletes: KeyRange[];
}

function newFootprint(): Footprint {
  return { puts: new Set(), deletes: [] };
}

/**
 * Adds what `ops` touch to `into`, in etcd's order (key.go checkIntervals): own deletes, then nested
 * transactions one by one, of each the puts before the deletes, then own puts. So a put in one nested
 * transaction followed by a delete of the key in a later one passes, and so do a put in "then" and a
 * delete in "else" of one nested transaction, of which only one runs.
 */
function collect(ops: readonly RequestOp[], into: Footprint): ErrorCode | undefined {
  for (const op of ops) {
    if (op.kind !== "delete-range") continue;
    into.deletes.push(keyRange(op.request.key, op.request.rangeEnd));
  }
  for (const op of ops) {
    if (op.kind !== "txn") continue;
    const code = collectNested(op.request, into);
    if (code !== undefined) return code;
  }
  for (const op of ops) {
    if (op.kind !== "put") continue;
    if (into.puts.has(op.request.key)) return "duplicate-key";
    if (isDeleted(into, op.request.key)) return "duplicate-key";
    into.puts.add(op.request.key);
  }
  return undefined;
}

function collectNested(txn: TxnRequest, into: Footprint): ErrorCode | undefined {
  const success = newFootprint();
  const failure = newFootprint();
  const code = collect(txn.success, success) ?? collect(txn.failure, failure);
  if (code !== undefined) return code;
  for (const key of success.puts) {
    if (into.puts.has(key) || isDeleted(into, key)) return "duplicate-key";
    into.puts.add(key);
  }
  for (const key of failure.puts) {
    // Only one branch runs, so the same key in both is no duplicate.
    if (into.puts.has(key) && !success.puts.has(key)) return "duplicate-key";
    if (isDeleted(into, key)) return "duplicate-key";
    into.puts.add(key);
  }
  for (const range of success.deletes) into.deletes.push(range);
  for (const range of failure.deletes) into.deletes.push(range);
  return undefined;
}

function isDeleted(footprint: Footprint, key: Key): boolean {
  return footprint.deletes.some((range) => rangeHas(range, key));
}
