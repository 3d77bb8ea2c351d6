import type { Key, LeaseId } from "../types/mod.ts";

export interface LeaseRow {
  readonly id: LeaseId;
  /** Seconds, as granted. */
  readonly ttl: number;
  /** Milliseconds of the cluster's lease clock. */
  readonly deadline: number;
}

/** Leases of a tenant; `slot` is its number in the tables. */
export interface LeaseRows {
  lease(slot: number, id: LeaseId): LeaseRow | undefined;
  /** In order of deadline, then id. */
  leases(slot: number): readonly LeaseRow[];
  /** Sets a lease, new or known. */
  putLease(slot: number, row: LeaseRow): void;
  removeLease(slot: number, id: LeaseId): void;
  /** The keys whose current row names the lease, in byte order. */
  leaseKeys(slot: number, id: LeaseId): readonly Key[];
}

/** The leases of all tenants. */
export interface LeaseBackend extends LeaseRows {
  /** Leases of tenants that are neither deleted nor suspended with a deadline at or before `leaseNow`, earliest first. */
  expiredLeases(
    leaseNow: number,
    max: number,
  ): readonly { readonly slot: number; readonly id: LeaseId }[];
  /** The earliest deadline of those leases. */
  nextLeaseDeadline(): number | undefined;
}
