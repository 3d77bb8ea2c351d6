import { CofferError } from "../errors.ts";
import {
  type DeleteRangeRequest,
  type DeleteRangeResult,
  type Key,
  type KeyRange,
  type KeyValue,
  NO_LEASE,
  type PutRequest,
  type PutResult,
  type RangeRequest,
  type RangeResult,
  type TenantId,
  keyAfter,
  keyRange,
} from "../core/types/mod.ts";
import {
  type EdgeDeps,
  type Outcome,
  type RequestContext,
  authoriseAdmin,
  authoriseAll,
  catchUp,
  currentRevision,
  linearize,
  refuseAtQuota,
  requireTenant,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Action } from "./ports.ts";
import { proposeChecked } from "./propose.ts";
import { needsPages, readPages, unwrap } from "./range-pages.ts";
import type { Caller, Reply } from "./requests.ts";
import type { Right } from "./rights.ts";
import { openKeyValue, openKeyValues, sealPut } from "./sealed-values.ts";
import { refuseLargePut } from "./tenant-gate.ts";
import { isSortedByValue, sortByValue } from "./value-order.ts";

/** Range, Put, DeleteRange and Compact. */

export function range(
  deps: EdgeDeps,
  caller: Caller,
  request: RangeRequest,
): Promise<Reply<RangeResult>> {
  const what = { action: "range", target: request, onLearner: request.serializable };
  return runRequest(deps, caller, what, async (context) => {
    checkKey(deps, request.key);
    if (!request.serializable) await linearize(context);
    try {
      return await answerRange(context, request);
    } catch (error) {
      // The leader's snapshot took the place of the state: what was granted before may not be now.
      if (!(error instanceof CofferError) || error.code !== "state-replaced") throw error;
      return await answerRange(context, request);
    }
  });
}

async function answerRange(
  context: RequestContext,
  request: RangeRequest,
): Promise<Outcome<RangeResult>> {
  const tenant = requireTenant(context);
  authoriseAll(context, rightsOfRange(request));
  const revision = currentRevision(context);
  const body = await readRange(context.deps, tenant, request);
  context.deps.metrics.ranges.inc();
  return { body, revision };
}

export function put(
  deps: EdgeDeps,
  caller: Caller,
  request: PutRequest,
): Promise<Reply<PutResult>> {
  return runRequest(
    deps,
    caller,
    { action: "put", target: singleKey(request.key) },
    async (context) => {
      checkPut(context, request);
      refuseAtQuota(deps);
      const tenant = requireTenant(context);
      // The lease's keys are judged with it, and must all be known here.
      if (request.lease !== NO_LEASE) await catchUp(context);
      let sealed: PutRequest | undefined;
      const result = await proposeChecked(context, () => {
        authoriseAll(context, rightsOfPut(request));
        sealed ??= sealPut(deps.seal, tenant, request);
        return { kind: "put", request: sealed };
      });
      const { revision, prevKv } = resultOf(result, "put");
      const opened = prevKv === undefined ? undefined : openKeyValue(deps.seal, tenant, prevKv);
      return { body: { prevKv: opened }, revision };
    },
  );
}

export function deleteRange(
  deps: EdgeDeps,
  caller: Caller,
  request: DeleteRangeRequest,
): Promise<Reply<DeleteRangeResult>> {
  return runRequest(deps, caller, { action: "delete-range", target: request }, async (context) => {
    checkKey(deps, request.key);
    const tenant = requireTenant(context);
    const result = await proposeChecked(context, () => {
      authoriseAll(context, rightsOfDelete(request));
      return { kind: "delete-range", request };
    });
    const { revision, response } = resultOf(result, "delete-range");
    const prevKvs = openKeyValues(deps.seal, tenant, response.prevKvs);
    return { body: { deleted: response.deleted, prevKvs }, revision };
  });
}

/** Compaction takes history away from everyone, so it is a matter of administration. */
export function compact(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly revision: number; readonly physical: boolean },
): Promise<Reply<undefined>> {
  const target = singleKey("");
  return runRequest(deps, caller, { action: "compact", target }, async (context) => {
    requireTenant(context);
    const result = await proposeChecked(context, () => {
      authoriseAdmin(context, "compact");
      return { kind: "compact", revision: request.revision };
    });
    return { body: undefined, revision: resultOf(result, "compact").revision };
  });
}

/** Reads and opens a range from the local state; the caller has linearized and authorised. */
export async function readRange(
  deps: EdgeDeps,
  tenant: TenantId,
  request: RangeRequest,
): Promise<RangeResult> {
  const { state } = deps.node;
  const keep = (kv: KeyValue): KeyValue => openKeyValue(deps.seal, tenant, kv);
  if (!needsPages(request)) {
    const result = unwrap(state.range(tenant, request));
    // One key has no order; the core leaves its value in when asked to sort by VALUE all the same.
    const kvs = request.keysOnly ? result.kvs.map(withoutValue) : result.kvs.map(keep);
    return { kvs, more: result.more, count: result.count };
  }
  const snapshot = state.snapshot();
  try {
    const byValue = isSortedByValue(request);
    // Values are needed for the order even where only keys are asked for.
    const fetched = await readPages(
      snapshot,
      tenant,
      byValue ? { ...request, keysOnly: false } : request,
      keep,
    );
    if (!byValue) return fetched;
    const sorted = sortByValue(request, fetched);
    return request.keysOnly ? { ...sorted, kvs: sorted.kvs.map(withoutValue) } : sorted;
  } finally {
    snapshot.close();
  }
}

const NO_BYTES = new Uint8Array(0);

export function withoutValue<T extends { readonly value: Uint8Array }>(kv: T): T {
  return { ...kv, value: NO_BYTES };
}

/** A key by itself is `read`; names of keys and their number are `list`; both together need both. */
export function rightsOfRange(request: RangeRequest): readonly Right[] {
  const asked = keyRange(request.key, request.rangeEnd);
  const namesOnly = request.keysOnly || request.countOnly;
  const rights: Right[] = [];
  if (namesOnly || request.rangeEnd !== "") rights.push(keysRight("list", asked));
  if (!namesOnly || isSortedByValue(request)) rights.push(keysRight("read", asked));
  return rights;
}

/**
 * Who attaches a key to a lease, or ends or renews one, decides over the life of every key on it
 * (etcd v3_server.go checkLeasePuts).
 */
export function rightsOfPut(request: PutRequest): readonly Right[] {
  const asked = { lo: request.key, hi: keyAfter(request.key) };
  const rights: Right[] = [keysRight("write", asked)];
  if (request.prevKv) rights.push(keysRight("read", asked));
  if (request.lease !== NO_LEASE) {
    rights.push({ kind: "lease-keys", action: "write", lease: request.lease });
  }
  return rights;
}

export function rightsOfDelete(request: DeleteRangeRequest): readonly Right[] {
  const asked = keyRange(request.key, request.rangeEnd);
  if (!request.prevKv) return [keysRight("delete", asked)];
  return [keysRight("delete", asked), keysRight("read", asked)];
}

export function keysRight(action: Action, range: KeyRange): Right {
  return { kind: "keys", action, range };
}

/** Refuses what no key may be. */
export function checkKey(deps: EdgeDeps, k: Key): void {
  if (k.length === 0) throw new CofferError("key-empty");
  if (k.length > deps.limits.keyBytesMax) {
    throw new CofferError(
      "key-too-long",
      `${k.length} of at most ${deps.limits.keyBytesMax} bytes`,
    );
  }
}

/** etcd's rules of a put that need no state (v3rpc/key.go checkPutRequest). */
export function checkPut(context: RequestContext, request: PutRequest): void {
  const { deps } = context;
  checkKey(deps, request.key);
  if (request.ignoreValue && request.value.length > 0) throw new CofferError("value-provided");
  if (request.ignoreLease && request.lease !== NO_LEASE) throw new CofferError("lease-provided");
  if (request.value.length + request.key.length > deps.limits.requestBytesMax) {
    throw new CofferError("request-too-large");
  }
  refuseLargePut(context, request);
}

function singleKey(k: string): { readonly key: string; readonly rangeEnd: string } {
  return { key: k, rangeEnd: "" };
}
