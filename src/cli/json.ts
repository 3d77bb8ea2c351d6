import type {
  DeleteRangeResult,
  KeyValue,
  PutResult,
  RangeResult,
  ResponseOp,
  TxnResult,
  WatchEvent,
} from "../core/types/mod.ts";
import { assertNever } from "../stdx/mod.ts";
import { base64OfKey } from "./keys.ts";
import type { ReplyHeader } from "./client-port.ts";

/**
 * JSON in etcdctl's form (etcdctl/ctlv3/command/printer.go): proto names, zero fields left out, bytes
 * as base64, and 64-bit integers as numbers, which JSON.stringify cannot write.
 */
export type Json =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };

/** One line of JSON; members that are undefined are left out. */
export function jsonText(value: Json): string {
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) return `[${value.map(jsonText).join(",")}]`;
  const members = Object.entries(value).flatMap(([name, member]) =>
    member === undefined ? [] : [`${JSON.stringify(name)}:${jsonText(member)}`],
  );
  return `{${members.join(",")}}`;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

type JsonObject = { readonly [name: string]: Json | undefined };

export function headerJson(header: ReplyHeader): JsonObject {
  return {
    cluster_id: header.clusterId,
    member_id: header.memberId,
    revision: header.revision,
    raft_term: header.term,
  };
}

/** undefined for what protobuf leaves out. */
function nonZero<T extends number | bigint>(value: T): T | undefined {
  return value === 0 || value === 0n ? undefined : value;
}

export function kvJson(kv: KeyValue): JsonObject {
  return {
    key: base64OfKey(kv.key),
    create_revision: nonZero(kv.createRevision),
    mod_revision: nonZero(kv.modRevision),
    version: nonZero(kv.version),
    value: kv.value.length === 0 ? undefined : Buffer.from(kv.value).toString("base64"),
    lease: nonZero(kv.lease),
  };
}

const kvsJson = (kvs: readonly KeyValue[]): Json | undefined =>
  kvs.length === 0 ? undefined : kvs.map(kvJson);

export function rangeJson(result: RangeResult): JsonObject {
  return {
    kvs: kvsJson(result.kvs),
    more: result.more ? true : undefined,
    count: nonZero(result.count),
  };
}

export function putJson(result: PutResult): JsonObject {
  return { prev_kv: result.prevKv === undefined ? undefined : kvJson(result.prevKv) };
}

export function deleteJson(result: DeleteRangeResult): JsonObject {
  return { deleted: nonZero(result.deleted), prev_kvs: kvsJson(result.prevKvs) };
}

export function txnJson(result: TxnResult): JsonObject {
  return {
    succeeded: result.succeeded ? true : undefined,
    responses: result.responses.length === 0 ? undefined : result.responses.map(responseJson),
  };
}

function responseJson(op: ResponseOp): Json {
  const header = { revision: nonZero<number>(op.revision) };
  switch (op.kind) {
    case "range":
      return { Response: { ResponseRange: { header, ...rangeJson(op.response) } } };
    case "put":
      return { Response: { ResponsePut: { header, ...putJson(op.response) } } };
    case "delete-range":
      return { Response: { ResponseDeleteRange: { header, ...deleteJson(op.response) } } };
    case "txn":
      return { Response: { ResponseTxn: { header, ...txnJson(op.response) } } };
    default:
      return assertNever(op);
  }
}

export function eventJson(event: WatchEvent): Json {
  return {
    type: event.type === "delete" ? 1 : undefined,
    kv: kvJson(event.kv),
    prev_kv: event.prevKv === undefined ? undefined : kvJson(event.prevKv),
  };
}
