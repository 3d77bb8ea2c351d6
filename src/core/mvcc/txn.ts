import {
  type DeleteRangeRequest,
  type DeleteRangeResult,
  type KeyValue,
  type LeaseId,
  NO_LEASE,
  type PutRequest,
  type PutResult,
  type RangeRequest,
  type ReadResult,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResult,
  keyRange,
  revision,
} from "../types/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { ErrorCode } from "../../errors.ts";
import type { KeyBackend, KeyReader, TenantView } from "./backend.ts";
import { compareHolds } from "./compare.ts";
import { checkPut } from "./check.ts";
import { KeyWriter } from "./writer.ts";
import { readRange } from "./range.ts";

/** What validation must know beside the keys. */
export interface TxnContext {
  readonly reader: KeyReader;
  readonly view: TenantView;
  leaseExists(id: LeaseId): boolean;
}

/** Which branch each transaction of a tree takes, all decided on the state before it. */
export interface TxnPlan {
  readonly succeeded: boolean;
  /** One per nested transaction of the branch taken, in order. */
  readonly nested: readonly TxnPlan[];
}

/** Decides all compares of a transaction and of those nested in the branches taken. */
export function planTxn(context: TxnContext, request: TxnRequest): TxnPlan {
  const succeeded = request.compare.every((compare) =>
    compareHolds(context.reader, context.view, compare),
  );
  const nested: TxnPlan[] = [];
  for (const op of branchOf(request, succeeded)) {
    if (op.kind === "txn") nested.push(planTxn(context, op.request));
  }
  return { succeeded, nested };
}

/**
 * Validates what the plan will do, before anything is done, so that a transaction is never applied in
 * part: leases exist, kept values and leases have a key, revisions of ranges can be read.
 */
export function validateTxn(
  context: TxnContext,
  request: TxnRequest,
  plan: TxnPlan,
): ErrorCode | undefined {
  let nestedAt = 0;
  for (const op of branchOf(request, plan.succeeded)) {
    const nested = op.kind === "txn" ? plan.nested[nestedAt++] : undefined;
    const code = validateOp(context, op, nested);
    if (code !== undefined) return code;
  }
  return undefined;
}

function validateOp(
  context: TxnContext,
  op: RequestOp,
  nested: TxnPlan | undefined,
): ErrorCode | undefined {
  switch (op.kind) {
    case "range":
      return validateRange(context.view, op.request);
    case "put":
      return validateTxnPut(context, op.request);
    case "delete-range":
      return undefined;
    case "txn":
      assert(nested !== undefined, "Plan lacks a nested transaction");
      return validateTxn(context, op.request, nested);
    case "empty":
      return "key-not-found";
  }
}

/** etcd's checkRange (txn/txn.go): unlike outside a transaction a negative revision is compacted. */
function validateRange(view: TenantView, request: RangeRequest): ErrorCode | undefined {
  if (request.revision === 0) return undefined;
  if (request.revision > view.revision) return "future-revision";
  return request.revision < view.compactRevision ? "compacted" : undefined;
}

/** Whether a put can be applied: its lease exists, and what it keeps is there. */
export function validatePut(context: TxnContext, request: PutRequest): ErrorCode | undefined {
  return checkPut(request) ?? validateLease(context, request) ?? validateKept(context, request);
}

/** In a transaction etcd looks at what is kept before it looks at the lease (txn/txn.go checkPut). */
function validateTxnPut(context: TxnContext, request: PutRequest): ErrorCode | undefined {
  return checkPut(request) ?? validateKept(context, request) ?? validateLease(context, request);
}

function validateLease(context: TxnContext, { lease }: PutRequest): ErrorCode | undefined {
  return lease === NO_LEASE || context.leaseExists(lease) ? undefined : "lease-not-found";
}

function validateKept(context: TxnContext, request: PutRequest): ErrorCode | undefined {
  if (!request.ignoreValue && !request.ignoreLease) return undefined;
  const row = context.reader.get(context.view.slot, request.key);
  return row === undefined ? "key-not-found" : undefined;
}

/** Applies a validated transaction along its plan. */
export function applyTxn(writer: KeyWriter, request: TxnRequest, plan: TxnPlan): TxnResult {
  let nestedAt = 0;
  const responses = branchOf(request, plan.succeeded).map((op): ResponseOp => {
    const nested = op.kind === "txn" ? plan.nested[nestedAt++] : undefined;
    return applyOp(writer, op, nested);
  });
  return { succeeded: plan.succeeded, responses };
}

/**
 * Answers a transaction of ranges only, without a log entry. Asserts that it holds nothing else: a
 * nested transaction counts as a write, as etcd's.
 */
export function readTxn(
  backend: KeyBackend,
  view: TenantView,
  request: TxnRequest,
): ReadResult<TxnResult> {
  for (const op of [...request.success, ...request.failure]) {
    assert(op.kind === "range", "Transaction to be read holds more than ranges");
  }
  const context: TxnContext = { reader: backend, view, leaseExists: () => false };
  const plan = planTxn(context, request);
  const code = validateTxn(context, request, plan);
  if (code !== undefined) return { ok: false, code };
  return { ok: true, value: applyTxn(new KeyWriter(backend, view), request, plan) };
}

function applyOp(writer: KeyWriter, op: RequestOp, nested: TxnPlan | undefined): ResponseOp {
  switch (op.kind) {
    case "range": {
      const result = readRange(writer.backend, writer.view, op.request);
      assert(result.ok, "Range of a transaction was not validated");
      return { kind: "range", revision: writer.revision, response: result.value };
    }
    case "put": {
      const response = applyPut(writer, op.request);
      return { kind: "put", revision: writer.revision, response };
    }
    case "delete-range": {
      const response = applyDeleteRange(writer, op.request);
      return { kind: "delete-range", revision: writer.revision, response };
    }
    case "txn": {
      assert(nested !== undefined, "Plan lacks a nested transaction");
      const response = applyTxn(writer, op.request, nested);
      // etcd leaves the header of a nested response empty.
      return { kind: "txn", revision: revision(0), response };
    }
    case "empty":
      throw new Error("Empty operation was not validated");
  }
}

/** Applies a validated put. */
export function applyPut(writer: KeyWriter, request: PutRequest): PutResult {
  const previous = writer.put(request);
  return { prevKv: request.prevKv ? previous : undefined };
}

export function applyDeleteRange(
  writer: KeyWriter,
  request: DeleteRangeRequest,
): DeleteRangeResult {
  const rows = writer.deleteRange(keyRange(request.key, request.rangeEnd));
  return { deleted: rows.length, prevKvs: request.prevKv ? rows : NO_ROWS };
}

const NO_ROWS: readonly KeyValue[] = [];

/** The operations of the branch that runs. */
export function branchOf(request: TxnRequest, succeeded: boolean): readonly RequestOp[] {
  return succeeded ? request.success : request.failure;
}
