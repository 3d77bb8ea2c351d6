import { CofferError } from "../errors.ts";
import {
  type Compare,
  type Guard,
  NO_LEASE,
  type RequestOp,
  type ResponseOp,
  type TenantId,
  type TxnRequest,
  type TxnResult,
  keyRange,
} from "../core/types/mod.ts";
import { countTxn } from "../telemetry/mod.ts";
import {
  type EdgeDeps,
  type Outcome,
  type RequestContext,
  authoriseAll,
  catchUp,
  currentRevision,
  linearize,
  refuseAtQuota,
  requireTenant,
  resultOf,
  runRequest,
} from "./gate.ts";
import {
  checkKey,
  checkPut,
  keysRight,
  rightsOfDelete,
  rightsOfPut,
  rightsOfRange,
  withoutValue,
} from "./kv.ts";
import { proposeChecked } from "./propose.ts";
import { scanPages, unwrap } from "./range-pages.ts";
import type { Caller, Reply } from "./requests.ts";
import type { Right } from "./rights.ts";
import { openKeyValue, openKeyValues, sealTxn } from "./sealed-values.ts";
import { isSortedByValue, sortByValue, valueHolds } from "./value-order.ts";

/** Transactions: every branch is checked, whichever is taken (CVE-2026-33343). */

/** A failed guard means that another client made progress; past this many the request times out. */
const GUARD_RETRIES_MAX = 32;

/**
 * Operations and comparisons of a whole transaction. etcd bounds each path by --max-txn-ops, which lets
 * siblings multiply: checking 160,000 of them would stop the member for a minute.
 */
const TXN_OPS_TOTAL_MAX = 2048;

export function txn(
  deps: EdgeDeps,
  caller: Caller,
  request: TxnRequest,
): Promise<Reply<TxnResult>> {
  const target = firstTarget(request);
  return runRequest(deps, caller, { action: "txn", target }, async (context) => {
    if (countOps(request) > TXN_OPS_TOTAL_MAX) throw new CofferError("too-many-ops");
    const refusal = deps.checkTxn(request, deps.limits.txnOpsMax);
    if (refusal !== undefined) throw new CofferError(refusal);
    const tenant = requireTenant(context);
    checkOps(context, request);
    if (bytesOf(request) > deps.limits.requestBytesMax) throw new CofferError("request-too-large");
    if (isReadOnly(request)) return readOnlyTxn(context, tenant, request);
    if (putsSomething(request)) refuseAtQuota(deps);
    if (putsUnderLease(request)) await catchUp(context);
    const sealed = sealTxn(deps.seal, tenant, request);
    for (let tries = 0; tries < GUARD_RETRIES_MAX; tries++) {
      const result = await proposeChecked(context, async () => {
        authoriseTxn(context, request);
        const decided = await decideValues(context, tenant, sealed);
        return { kind: "txn", request: decided.request, guards: decided.guards };
      });
      if (result.kind === "guard-failed") {
        deps.metrics.guardRetries.inc();
        await linearize(context);
        continue;
      }
      const { revision, response } = resultOf(result, "txn");
      noteOps(context, request, response);
      return { body: openTxn(deps, tenant, request, response), revision };
    }
    throw new CofferError("timeout");
  });
}

/**
 * Both branches, nested transactions, and what comparing tells about a key. One that names no key tells
 * the revision all the same, so it takes some right in the tenant.
 */
export function authoriseTxn(context: RequestContext, request: TxnRequest): void {
  const rights = rightsOfTxn(request);
  authoriseAll(context, rights.length > 0 ? rights : [{ kind: "any" }]);
}

function rightsOfTxn(request: TxnRequest): readonly Right[] {
  const compared = request.compare.flatMap((compare) =>
    compare.target === "decided"
      ? []
      : [keysRight("read", keyRange(compare.key, compare.rangeEnd))],
  );
  return [...compared, ...[...request.success, ...request.failure].flatMap(rightsOfOp)];
}

function rightsOfOp(op: RequestOp): readonly Right[] {
  switch (op.kind) {
    case "range":
      return rightsOfRange(op.request);
    case "put":
      return rightsOfPut(op.request);
    case "delete-range":
      return rightsOfDelete(op.request);
    case "txn":
      return rightsOfTxn(op.request);
    case "empty":
      return [];
  }
}

function checkOps(context: RequestContext, request: TxnRequest): void {
  const { deps } = context;
  for (const compare of request.compare) {
    if (compare.target !== "decided") checkKey(deps, compare.key);
  }
  for (const op of [...request.success, ...request.failure]) {
    if (op.kind === "range" || op.kind === "delete-range") checkKey(deps, op.request.key);
    if (op.kind === "put") checkPut(context, op.request);
    if (op.kind === "txn") checkOps(context, op.request);
  }
}

/** What the client sent, as etcd measures a request: all of it together (etcd v3_server.go). */
function bytesOf(request: TxnRequest): number {
  let bytes = 0;
  for (const compare of request.compare) {
    if (compare.target === "decided") continue;
    bytes += compare.key.length + compare.rangeEnd.length;
    if (compare.target === "value") bytes += compare.operand.length;
  }
  for (const op of [...request.success, ...request.failure]) {
    if (op.kind === "txn") bytes += bytesOf(op.request);
    else if (op.kind === "put") bytes += op.request.key.length + op.request.value.length;
    else if (op.kind !== "empty") bytes += op.request.key.length + op.request.rangeEnd.length;
  }
  return bytes;
}

/** Only direct ranges, in both branches; such a transaction proposes nothing (etcd txn.go). */
function isReadOnly(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((op) => op.kind === "range");
}

function putsSomething(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].some(
    (op) => op.kind === "put" || (op.kind === "txn" && putsSomething(op.request)),
  );
}

function putsUnderLease(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].some(
    (op) =>
      (op.kind === "put" && op.request.lease !== NO_LEASE) ||
      (op.kind === "txn" && putsUnderLease(op.request)),
  );
}

function countOps(request: TxnRequest): number {
  let count = request.compare.length;
  for (const op of [...request.success, ...request.failure]) {
    count += op.kind === "txn" ? 1 + countOps(op.request) : 1;
  }
  return count;
}

function isSerializable(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every(
    (op) => op.kind === "range" && op.request.serializable,
  );
}

async function readOnlyTxn(
  context: RequestContext,
  tenant: TenantId,
  request: TxnRequest,
): Promise<Outcome<TxnResult>> {
  const { deps } = context;
  if (!isSerializable(request)) await linearize(context);
  authoriseTxn(context, request);
  for (let tries = 0; tries < GUARD_RETRIES_MAX; tries++) {
    const decided = await decideValues(context, tenant, request);
    // From here to the answer of readTxn nothing else runs, so one look at the guards is enough.
    const { state } = deps.node;
    const held = decided.guards.every((g) => state.lastChange(tenant, g.range) <= g.revision);
    if (!held) {
      deps.metrics.guardRetries.inc();
      continue;
    }
    const revision = currentRevision(context);
    const response = unwrap(state.readTxn(tenant, decided.request));
    countTxn(deps.metrics, response);
    noteOps(context, request, response);
    return { body: openTxn(deps, tenant, request, response), revision };
  }
  throw new CofferError("timeout");
}

/**
 * Evaluates a comparison with VALUE on the local state: it must hold for every key of its range, and
 * with no key there it never holds (etcd txn.go applyCompare).
 */
async function valueCompareHolds(
  context: RequestContext,
  tenant: TenantId,
  compare: ValueCompare,
): Promise<boolean> {
  const { node, seal } = context.deps;
  const snapshot = node.state.snapshot();
  try {
    const range = keyRange(compare.key, compare.rangeEnd);
    const options = { revision: 0, limit: 0, keysOnly: false };
    let found = false;
    for await (const page of scanPages(snapshot, tenant, range, options)) {
      for (const kv of page) {
        found = true;
        const opened = openKeyValue(seal, tenant, kv);
        if (!valueHolds(opened, compare.result, compare.operand)) return false;
      }
    }
    return found;
  } finally {
    snapshot.close();
  }
}

type ValueCompare = Extract<Compare, { target: "value" }>;

/**
 * Puts the outcome in the place of every VALUE comparison, with a guard that the range has not
 * changed since it was read. `request` is sealed already, but compare operands are plaintext.
 */
async function decideValues(
  context: RequestContext,
  tenant: TenantId,
  request: TxnRequest,
): Promise<{ readonly request: TxnRequest; readonly guards: readonly Guard[] }> {
  if (!comparesValue(request)) return { request, guards: [] };
  const guards: Guard[] = [];
  const revision = currentRevision(context);
  const decide = async (txnRequest: TxnRequest): Promise<TxnRequest> => {
    const compare: Compare[] = [];
    for (const one of txnRequest.compare) {
      if (one.target !== "value") {
        compare.push(one);
        continue;
      }
      guards.push({ range: keyRange(one.key, one.rangeEnd), revision });
      compare.push({ target: "decided", holds: await valueCompareHolds(context, tenant, one) });
    }
    return {
      compare,
      success: await decideOps(txnRequest.success),
      failure: await decideOps(txnRequest.failure),
    };
  };
  const decideOps = async (ops: readonly RequestOp[]): Promise<RequestOp[]> => {
    const decided: RequestOp[] = [];
    for (const op of ops) {
      decided.push(op.kind === "txn" ? { kind: "txn", request: await decide(op.request) } : op);
    }
    return decided;
  };
  return { request: await decide(request), guards };
}

function comparesValue(request: TxnRequest): boolean {
  return (
    request.compare.some((compare) => compare.target === "value") ||
    [...request.success, ...request.failure].some(
      (op) => op.kind === "txn" && comparesValue(op.request),
    )
  );
}

/** Opens every value of the answer, and finishes ranges ordered by VALUE. */
function openTxn(
  deps: EdgeDeps,
  tenant: TenantId,
  request: TxnRequest,
  result: TxnResult,
): TxnResult {
  const ops = result.succeeded ? request.success : request.failure;
  const responses = result.responses.map((response, i): ResponseOp => {
    const op = ops[i];
    switch (response.kind) {
      case "range": {
        const kvs = openKeyValues(deps.seal, tenant, response.response.kvs);
        const opened = { ...response.response, kvs };
        if (op?.kind !== "range" || !isSortedByValue(op.request)) {
          return { ...response, response: opened };
        }
        const sorted = sortByValue(op.request, opened);
        const kept = op.request.keysOnly ? sorted.kvs.map(withoutValue) : sorted.kvs;
        return { ...response, response: { ...sorted, kvs: kept } };
      }
      case "put": {
        const { prevKv } = response.response;
        if (prevKv === undefined) return response;
        return { ...response, response: { prevKv: openKeyValue(deps.seal, tenant, prevKv) } };
      }
      case "delete-range": {
        const prevKvs = openKeyValues(deps.seal, tenant, response.response.prevKvs);
        return { ...response, response: { ...response.response, prevKvs } };
      }
      case "txn": {
        if (op?.kind !== "txn") return response;
        return { ...response, response: openTxn(deps, tenant, op.request, response.response) };
      }
    }
  });
  return { succeeded: result.succeeded, responses };
}

/** A record for every comparison and for every operation that was carried out. */
function noteOps(context: RequestContext, request: TxnRequest, result: TxnResult): void {
  for (const compare of request.compare) {
    if (compare.target === "decided") continue;
    context.touched.push({ action: "txn.compare", target: compare });
  }
  const ops = result.succeeded ? request.success : request.failure;
  for (const [i, op] of ops.entries()) {
    if (op.kind === "empty") continue;
    if (op.kind === "txn") {
      const nested = result.responses[i];
      if (nested?.kind === "txn") noteOps(context, op.request, nested.response);
      continue;
    }
    const rangeEnd = op.kind === "put" ? "" : op.request.rangeEnd;
    context.touched.push({ action: `txn.${op.kind}`, target: { key: op.request.key, rangeEnd } });
  }
}

/** What stands for the whole transaction in its own record. */
function firstTarget(request: TxnRequest): { readonly key: string; readonly rangeEnd: string } {
  for (const op of [...request.success, ...request.failure]) {
    if (op.kind === "put") return { key: op.request.key, rangeEnd: "" };
    if (op.kind === "range" || op.kind === "delete-range") return op.request;
  }
  const compare = request.compare[0];
  if (compare === undefined || compare.target === "decided") return { key: "", rangeEnd: "" };
  return compare;
}
