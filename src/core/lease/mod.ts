/** Leases by injected time: the cluster's lease clock; grant, renew, revoke, expire. */
export type { LeaseBackend, LeaseRow, LeaseRows } from "./backend.ts";
export { LeaseClock } from "./clock.ts";
export { LEASE_TTL_MAX, checkRevoke, grantLease, leaseInfo, renewLease } from "./lease.ts";
