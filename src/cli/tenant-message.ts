import type { tenantApi } from "../client/mod.ts";
import {
  revision,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
} from "../core/types/mod.ts";
import type { LimitChanges, TenantRow } from "./client-port.ts";
import { countOf, present } from "./from-message.ts";

/** Tenants from and to messages of the API. */

/** The limits of the wire by those of the tenant. */
const LIMITS = {
  bytesMax: "bytes",
  keysMax: "keys",
  leasesMax: "leases",
  keyBytesMax: "keyBytes",
  valueBytesMax: "valueBytes",
  requestsPerSecond: "requestsPerSecond",
  requestBurst: "requestBurst",
  watchesMax: "watches",
} as const satisfies Readonly<Record<keyof TenantLimits, keyof tenantApi.TenantLimits>>;

const FIELDS = Object.keys(LIMITS) as readonly (keyof TenantLimits)[];

/** What takes a limit away. */
const NO_LIMIT = -1n;

export function limitsMessage(changes: LimitChanges): tenantApi.TenantLimits {
  const message: { -readonly [limit in keyof tenantApi.TenantLimits]: bigint } = {};
  for (const field of FIELDS) {
    if (!Object.hasOwn(changes, field)) continue;
    const value = changes[field];
    message[LIMITS[field]] = value === undefined ? NO_LIMIT : BigInt(value);
  }
  return message;
}

export function compactionMessage(compaction: TenantCompaction): tenantApi.TenantCompaction {
  switch (compaction.kind) {
    case "age":
      return { policy: { $case: "ageSeconds", value: BigInt(compaction.seconds) } };
    case "count":
      return { policy: { $case: "revisions", value: BigInt(compaction.revisions) } };
    case "none":
      return { policy: undefined };
  }
}

export function tenantOf(tenant: tenantApi.Tenant | undefined): TenantRow {
  const { id, name, suspended, limits, compaction, ...counts } = present(tenant);
  const usage = present(counts.usage);
  return {
    id: id as TenantId,
    name,
    created: countOf(counts.created),
    revision: revision(countOf(counts.revision)),
    compactRevision: countOf(counts.compactRevision),
    policyRevision: countOf(counts.policyRevision),
    suspended,
    limits: limitsOf(limits),
    compaction: compactionOf(compaction),
    usage: {
      keys: countOf(usage.keys),
      leases: countOf(usage.leases),
      bytes: countOf(usage.bytes),
      liveBytes: countOf(usage.liveBytes),
    },
    watches: countOf(usage.watches),
    requestsRefused: countOf(usage.requestsRefused),
  };
}

function limitsOf(message: tenantApi.TenantLimits | undefined): TenantLimits {
  const limits: { -readonly [limit in keyof TenantLimits]: TenantLimits[limit] } = {};
  for (const field of FIELDS) {
    const value = message?.[LIMITS[field]];
    if (value !== undefined) limits[field] = countOf(value);
  }
  return limits;
}

function compactionOf(message: tenantApi.TenantCompaction | undefined): TenantCompaction {
  const policy = message?.policy;
  switch (policy?.$case) {
    case "ageSeconds":
      return { kind: "age", seconds: countOf(policy.value) };
    case "revisions":
      return { kind: "count", revisions: countOf(policy.value) };
    case undefined:
      return { kind: "none" };
  }
}
