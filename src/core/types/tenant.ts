import type { Revision, TenantId } from "./ids.ts";

/**
 * What a tenant may hold and do; `undefined`: no limit but the cluster's. All are integers from 0. At
 * the edge each member counts by itself, at apply all of them together.
 */
export interface TenantLimits {
  /** Of keys and sealed values, history included: see `TenantUsage.bytes`. At apply: `no-space`. */
  readonly bytesMax?: number;
  /** At apply: `quota-exceeded`, as `leasesMax`. */
  readonly keysMax?: number;
  readonly leasesMax?: number;
  /** Of one key as the client gives it. At the edge, as all that follow. */
  readonly keyBytesMax?: number;
  /** Of one value before it is sealed. */
  readonly valueBytesMax?: number;
  readonly requestsPerSecond?: number;
  /** Requests that may come at once after a pause. */
  readonly requestBurst?: number;
  readonly watchesMax?: number;
}

/** Limits that change: a number sets one, undefined takes it away; those not named stay. */
export type LimitChanges = { readonly [limit in keyof TenantLimits]?: number | undefined };

/**
 * Which history the leader compacts by itself: "none" of the tenant's own, so the cluster's default
 * counts; all that is older than an age; all but a count of the newest revisions.
 */
export type TenantCompaction =
  | { readonly kind: "none" }
  | { readonly kind: "age"; readonly seconds: number }
  | { readonly kind: "count"; readonly revisions: number };

/** Exact and the same on every member, as it is counted at apply. */
export interface TenantUsage {
  readonly keys: number;
  readonly leases: number;
  /** Of keys and sealed values of all that can be read: latest and history down to the compacted revision. */
  readonly bytes: number;
  /** Of the latest revision alone. */
  readonly liveBytes: number;
}

export interface TenantInfo {
  readonly id: TenantId;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly revision: Revision;
  /** 0 before the first compaction. */
  readonly compactRevision: number;
  readonly policyRevision: number;
  /** Its keys and leases are refused, and its leases do not expire, until it is resumed. */
  readonly suspended: boolean;
  readonly limits: TenantLimits;
  readonly compaction: TenantCompaction;
  readonly usage: TenantUsage;
}

/** Its limits, compaction and usage before anybody said or did anything. */
export const NO_LIMITS: TenantLimits = {};
export const NO_COMPACTION: TenantCompaction = { kind: "none" };
export const NO_USAGE: TenantUsage = { keys: 0, leases: 0, bytes: 0, liveBytes: 0 };

/** DNS label: also refuses `.`, `..`, upper case, slashes and spaces. */
const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Whether a tenant may be called so. */
export function isTenantName(text: string): boolean {
  return TENANT_NAME.test(text);
}
