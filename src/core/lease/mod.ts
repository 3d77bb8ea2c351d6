/** Leases by injected time: grant, renew, revoke, expire. */
export type { LeaseBackend, LeaseRow } from "./backend.ts";
export { LEASE_TTL_MAX, checkRevoke, grantLease, leaseInfo, renewLease } from "./lease.ts";
