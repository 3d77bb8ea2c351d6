import type { KeyValue, PutRequest, RequestOp, TenantId, TxnRequest } from "../core/types/mod.ts";
import type { SealPort } from "./ports.ts";

/** Between plaintext above the edge and sealed records below it. */

export function openKeyValue(seal: SealPort, tenant: TenantId, kv: KeyValue): KeyValue {
  // Deletes, and reads of keys only, carry no record.
  if (kv.value.length === 0) return kv;
  return {
    key: kv.key,
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
    value: seal.open(tenant, kv.key, kv.value),
  };
}

export function openKeyValues(
  seal: SealPort,
  tenant: TenantId,
  kvs: readonly KeyValue[],
): readonly KeyValue[] {
  return kvs.map((kv) => openKeyValue(seal, tenant, kv));
}

/** With ignore_value there is no value to seal: the record that is there stays. */
export function sealPut(seal: SealPort, tenant: TenantId, request: PutRequest): PutRequest {
  if (request.ignoreValue) return request;
  return { ...request, value: seal.seal(tenant, request.key, request.value) };
}

/** Seals every put of a transaction, in both branches and at any depth. */
export function sealTxn(seal: SealPort, tenant: TenantId, request: TxnRequest): TxnRequest {
  const sealOp = (op: RequestOp): RequestOp => {
    if (op.kind === "put") return { kind: "put", request: sealPut(seal, tenant, op.request) };
    if (op.kind === "txn") return { kind: "txn", request: sealTxn(seal, tenant, op.request) };
    return op;
  };
  return {
    compare: request.compare,
    success: request.success.map(sealOp),
    failure: request.failure.map(sealOp),
  };
}
