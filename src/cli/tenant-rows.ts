import type { TenantCompaction } from "../core/types/mod.ts";
import type { TenantRow } from "./client-port.ts";
import type { Json } from "./json.ts";
import { safe, sizeText, table, timeText } from "./print.ts";

/** What `coffer tenant` shows of tenants. */

const HEADING: readonly string[] = ["NAME", "ID", "STATE", "REVISION", "KEYS", "BYTES", "LEASES"];

export function tenantTable(tenants: readonly TenantRow[]): string {
  const rows = tenants.map(({ name, id, suspended, revision, usage, limits }) => [
    safe(name),
    safe(id),
    stateText(suspended),
    String(revision),
    beside(usage.keys, limits.keysMax, String),
    beside(usage.bytes, limits.bytesMax, sizeText),
    beside(usage.leases, limits.leasesMax, String),
  ]);
  return table(HEADING, rows);
}

export function tenantLines(tenant: TenantRow): string {
  const { usage, limits } = tenant;
  const { requestsPerSecond, requestBurst } = limits;
  const rate =
    requestsPerSecond === undefined
      ? "no limit"
      : `${requestsPerSecond}, ${requestBurst ?? requestsPerSecond} at once; on each member`;
  const lines = [
    ["name", safe(tenant.name)],
    ["id", safe(tenant.id)],
    ["state", stateText(tenant.suspended)],
    ["created", timeText(tenant.created)],
    ["revision", String(tenant.revision)],
    ["compacted", String(tenant.compactRevision)],
    ["auto-compaction", compactionText(tenant.compaction)],
    ["policy revision", String(tenant.policyRevision)],
    ["keys", ofAtMost(usage.keys, limits.keysMax, String)],
    ["bytes", ofAtMost(usage.bytes, limits.bytesMax, sizeText)],
    ["bytes without history", sizeText(usage.liveBytes)],
    ["leases", ofAtMost(usage.leases, limits.leasesMax, String)],
    ["watches", `${ofAtMost(tenant.watches, limits.watchesMax, String)}; on this member`],
    ["size of a key", atMost(limits.keyBytesMax)],
    ["size of a value", atMost(limits.valueBytesMax)],
    ["requests per second", rate],
    ["requests refused", `${tenant.requestsRefused}; by this member since its start`],
  ];
  return lines.map(([name, value]) => `${name}: ${value}\n`).join("");
}

export function tenantJson(tenant: TenantRow): Json {
  const { limits, usage } = tenant;
  return {
    id: tenant.id,
    name: tenant.name,
    created: tenant.created,
    revision: tenant.revision,
    compact_revision: tenant.compactRevision,
    policy_revision: tenant.policyRevision,
    suspended: tenant.suspended,
    limits: {
      bytes: limits.bytesMax,
      keys: limits.keysMax,
      leases: limits.leasesMax,
      key_bytes: limits.keyBytesMax,
      value_bytes: limits.valueBytesMax,
      requests_per_second: limits.requestsPerSecond,
      request_burst: limits.requestBurst,
      watches: limits.watchesMax,
    },
    auto_compaction: compactionJson(tenant.compaction),
    usage: {
      keys: usage.keys,
      bytes: usage.bytes,
      live_bytes: usage.liveBytes,
      leases: usage.leases,
      watches: tenant.watches,
      requests_refused: tenant.requestsRefused,
    },
  };
}

function compactionJson(compaction: TenantCompaction): Json {
  switch (compaction.kind) {
    case "age":
      return { mode: "periodic", seconds: compaction.seconds };
    case "count":
      return { mode: "revision", revisions: compaction.revisions };
    case "none":
      return { mode: "none" };
  }
}

function compactionText(compaction: TenantCompaction): string {
  switch (compaction.kind) {
    case "age":
      return `keeps ${ageText(compaction.seconds)}`;
    case "count":
      return `keeps ${compaction.revisions} revisions`;
    case "none":
      return "none of its own";
  }
}

/** In the largest unit that it is whole in, as options take it. */
function ageText(seconds: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
  ] as const;
  const unit = units.find(([, size]) => seconds % size === 0);
  return unit === undefined ? `${seconds}s` : `${seconds / unit[1]}${unit[0]}`;
}

function stateText(suspended: boolean): string {
  return suspended ? "suspended" : "active";
}

/** `12/1000`, or `12` without a limit. */
function beside(value: number, limit: number | undefined, show: (value: number) => string): string {
  return limit === undefined ? show(value) : `${show(value)}/${show(limit)}`;
}

function ofAtMost(
  value: number,
  limit: number | undefined,
  show: (value: number) => string,
): string {
  return limit === undefined ? show(value) : `${show(value)} of at most ${show(limit)}`;
}

function atMost(bytes: number | undefined): string {
  return bytes === undefined ? "no limit but the cluster's" : `at most ${sizeText(bytes)}`;
}
