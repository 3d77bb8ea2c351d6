import { type Fields, rpc } from "../client/mod.ts";
import type {
  Compare,
  CompareResult,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
  WatchCreateRequest,
} from "../core/types/mod.ts";
import { assert, assertNever } from "../stdx/mod.ts";
import { bytesOfKey } from "./keys.ts";

/** The plain requests as messages of the API. */

const orders: { readonly [order in SortOrder]: rpc.RangeRequest_SortOrder } = {
  none: rpc.RangeRequest_SortOrder.NONE,
  ascend: rpc.RangeRequest_SortOrder.ASCEND,
  descend: rpc.RangeRequest_SortOrder.DESCEND,
};

const targets: { readonly [target in SortTarget]: rpc.RangeRequest_SortTarget } = {
  key: rpc.RangeRequest_SortTarget.KEY,
  version: rpc.RangeRequest_SortTarget.VERSION,
  create: rpc.RangeRequest_SortTarget.CREATE,
  mod: rpc.RangeRequest_SortTarget.MOD,
  value: rpc.RangeRequest_SortTarget.VALUE,
};

const results: { readonly [result in CompareResult]: rpc.Compare_CompareResult } = {
  equal: rpc.Compare_CompareResult.EQUAL,
  greater: rpc.Compare_CompareResult.GREATER,
  less: rpc.Compare_CompareResult.LESS,
  "not-equal": rpc.Compare_CompareResult.NOT_EQUAL,
};

export function rangeMessage(request: RangeRequest): Fields<rpc.RangeRequest> {
  return {
    key: bytesOfKey(request.key),
    rangeEnd: bytesOfKey(request.rangeEnd),
    limit: BigInt(request.limit),
    revision: BigInt(request.revision),
    sortOrder: orders[request.sortOrder],
    sortTarget: targets[request.sortTarget],
    serializable: request.serializable,
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    minModRevision: BigInt(request.minModRevision),
    maxModRevision: BigInt(request.maxModRevision),
    minCreateRevision: BigInt(request.minCreateRevision),
    maxCreateRevision: BigInt(request.maxCreateRevision),
  };
}

export function putMessage({ key, ...rest }: PutRequest): Fields<rpc.PutRequest> {
  return { key: bytesOfKey(key), ...rest };
}

export function deleteMessage(request: DeleteRangeRequest): Fields<rpc.DeleteRangeRequest> {
  const { key, rangeEnd, prevKv } = request;
  return { key: bytesOfKey(key), rangeEnd: bytesOfKey(rangeEnd), prevKv };
}

export function txnMessage({ compare, success, failure }: TxnRequest): Fields<rpc.TxnRequest> {
  return {
    compare: compare.map(compareMessage),
    success: success.map(opMessage),
    failure: failure.map(opMessage),
  };
}

function compareMessage(compare: Compare): Fields<rpc.Compare> {
  assert(compare.target !== "decided", "A command cannot decide a comparison");
  const on = {
    key: bytesOfKey(compare.key),
    rangeEnd: bytesOfKey(compare.rangeEnd),
    result: results[compare.result],
  };
  const target = rpc.Compare_CompareTarget;
  switch (compare.target) {
    case "version": {
      const value = BigInt(compare.operand);
      return { ...on, target: target.VERSION, targetUnion: { $case: "version", value } };
    }
    case "create": {
      const value = BigInt(compare.operand);
      return { ...on, target: target.CREATE, targetUnion: { $case: "createRevision", value } };
    }
    case "mod": {
      const value = BigInt(compare.operand);
      return { ...on, target: target.MOD, targetUnion: { $case: "modRevision", value } };
    }
    case "lease": {
      const value = compare.operand;
      return { ...on, target: target.LEASE, targetUnion: { $case: "lease", value } };
    }
    case "value": {
      const value = compare.operand;
      return { ...on, target: target.VALUE, targetUnion: { $case: "value", value } };
    }
    default:
      return assertNever(compare);
  }
}

function opMessage(op: RequestOp): Fields<rpc.RequestOp> {
  switch (op.kind) {
    case "range":
      return { request: { $case: "requestRange", value: rangeMessage(op.request) } };
    case "put":
      return { request: { $case: "requestPut", value: putMessage(op.request) } };
    case "delete-range":
      return { request: { $case: "requestDeleteRange", value: deleteMessage(op.request) } };
    case "txn":
      return { request: { $case: "requestTxn", value: txnMessage(op.request) } };
    case "empty":
      return {};
    default:
      return assertNever(op);
  }
}

export function watchMessage(request: WatchCreateRequest): Fields<rpc.WatchCreateRequest> {
  const { NOPUT, NODELETE } = rpc.WatchCreateRequest_FilterType;
  return {
    key: bytesOfKey(request.key),
    rangeEnd: bytesOfKey(request.rangeEnd),
    startRevision: BigInt(request.startRevision),
    progressNotify: request.progressNotify,
    filters: [...(request.noPut ? [NOPUT] : []), ...(request.noDelete ? [NODELETE] : [])],
    prevKv: request.prevKv,
    watchId: BigInt(request.watchId),
    fragment: request.fragment,
  };
}
