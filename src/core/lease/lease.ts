import { type LeaseId, type LeaseInfo, NO_LEASE } from "../types/mod.ts";
import type { ErrorCode } from "../../errors.ts";
import type { LeaseRow, LeaseRows } from "./backend.ts";

/** Seconds; etcd's lessor refuses more (server/lease/lessor.go MaxLeaseTTL). */
export const LEASE_TTL_MAX = 9_000_000_000;

const MS = 1000;

/**
 * Grants a lease until `leaseTime` plus its TTL. The deadline is replicated state: the time comes with
 * the entry, so all members hold the same one. Refuses with `lease-exists`, `lease-ttl-too-large` or
 * `invalid-argument` (no id, or a TTL below one second, which the edge has raised).
 */
export function grantLease(
  backend: LeaseRows,
  slot: number,
  grant: { readonly id: LeaseId; readonly ttl: number; readonly leaseTime: number },
): ErrorCode | undefined {
  const { id, ttl, leaseTime } = grant;
  if (id === NO_LEASE || !Number.isInteger(ttl) || ttl < 1) return "invalid-argument";
  if (ttl > LEASE_TTL_MAX) return "lease-ttl-too-large";
  if (backend.lease(slot, id) !== undefined) return "lease-exists";
  backend.putLease(slot, { id, ttl, deadline: leaseTime + ttl * MS });
  return undefined;
}

/**
 * Renews a lease and returns its TTL, or 0 when it is gone or past its deadline: a client that comes
 * too late must not believe that it held on (lessor.go Renew).
 */
export function renewLease(
  backend: LeaseRows,
  slot: number,
  renewal: { readonly id: LeaseId; readonly leaseTime: number },
): number {
  const row = backend.lease(slot, renewal.id);
  if (row === undefined || hasExpired(row, renewal.leaseTime)) return 0;
  const deadline = renewal.leaseTime + row.ttl * MS;
  if (deadline > row.deadline) backend.putLease(slot, { ...row, deadline });
  return row.ttl;
}

/**
 * Whether a lease may be revoked now. An expiry holds only if the deadline has really passed: a
 * renewal may have come between the leader's look and this entry, and is then a `conflict`.
 */
export function checkRevoke(
  backend: LeaseRows,
  slot: number,
  revoke: {
    readonly id: LeaseId;
    readonly cause: "revoked" | "expired";
    readonly leaseTime: number;
  },
): ErrorCode | undefined {
  const row = backend.lease(slot, revoke.id);
  if (row === undefined) return "lease-not-found";
  return revoke.cause === "expired" && !hasExpired(row, revoke.leaseTime) ? "conflict" : undefined;
}

export function leaseInfo(
  backend: LeaseRows,
  slot: number,
  wanted: { readonly id: LeaseId; readonly withKeys: boolean },
): LeaseInfo | undefined {
  const row = backend.lease(slot, wanted.id);
  if (row === undefined) return undefined;
  const keys = wanted.withKeys ? backend.leaseKeys(slot, wanted.id) : [];
  return { id: row.id, grantedTtl: row.ttl, deadline: row.deadline, keys };
}

function hasExpired(row: LeaseRow, leaseTime: number): boolean {
  return row.deadline <= leaseTime;
}
