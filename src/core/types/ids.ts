import { assert, type Brand } from "../../stdx/mod.ts";

/** Bytes of a key as a byte string (one char per byte); chosen by the client, never normalised. */
export type Key = Brand<string, "Key">;

/** One tenant's count of changing transactions. A fresh tenant is at 1. */
export type Revision = Brand<number, "Revision">;

/** Chosen by the server or by the client: any 64 bits but 0. Signed, as etcd's int64. */
export type LeaseId = Brand<bigint, "LeaseId">;

/** Unsigned 64 bits. */
export type MemberId = Brand<bigint, "MemberId">;

/** Unsigned 64 bits. */
export type ClusterId = Brand<bigint, "ClusterId">;

/** The immutable uuid of a tenant: lower-case hex with dashes. Names may be used again, ids never. */
export type TenantId = Brand<string, "TenantId">;

/** The scope of records that belong to the cluster and to no tenant. Not a uuid, so never a tenant. */
export const CLUSTER_SCOPE: TenantId = "cluster" as TenantId;

/** No lease. */
export const NO_LEASE: LeaseId = 0n as LeaseId;

export function key(bytes: string): Key {
  return bytes as Key;
}

/** The revision `value`. Asserts that it is a safe integer from 0. */
export function revision(value: number): Revision {
  assert(Number.isSafeInteger(value) && value >= 0, "Revision is not a safe non-negative integer");
  return value as Revision;
}

/** The lease id of a signed 64-bit integer. */
export function leaseId(value: bigint): LeaseId {
  return BigInt.asIntN(64, value) as LeaseId;
}

export function memberId(value: bigint): MemberId {
  return BigInt.asUintN(64, value) as MemberId;
}

export function clusterId(value: bigint): ClusterId {
  return BigInt.asUintN(64, value) as ClusterId;
}

const TENANT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function tenantId(value: string): TenantId {
  assert(TENANT_ID.test(value), "Tenant id is not a lower-case uuid");
  return value as TenantId;
}
