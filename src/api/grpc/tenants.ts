import type { LimitChanges, TenantCompaction, TenantLimits } from "../../core/types/mod.ts";
import type { Edge, TenantView } from "../../edge/mod.ts";
import { CofferError } from "../../errors.ts";
import { tenantApi } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Tenants. */
export function tenantMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tenants/Create",
      { request: tenantApi.TenantCreateRequest, response: tenantApi.TenantResponse },
      async (caller, { name, owner, limits, compaction }) => {
        const { header, body } = await edge.tenantCreate(caller, {
          name,
          owner,
          limits: limitsOf(limits),
          compaction: compactionOf(compaction),
        });
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/List",
      { request: tenantApi.TenantListRequest, response: tenantApi.TenantListResponse },
      async (caller, { after, limit }) => {
        const { header, body } = await edge.tenantList(caller, { after, limit: clamp(limit) });
        const tenants = body.tenants.map(tenantOf);
        return { header: headerOf(header), tenants, more: body.more };
      },
    ),
    unary(
      "/coffer.v1.Tenants/Show",
      { request: tenantApi.TenantShowRequest, response: tenantApi.TenantResponse },
      async (caller, { name }) => {
        const { header, body } = await edge.tenantShow(caller, name);
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    update(edge),
    unary(
      "/coffer.v1.Tenants/Delete",
      { request: tenantApi.TenantDeleteRequest, response: tenantApi.TenantDeleteResponse },
      async (caller, { name }) => ({
        header: headerOf((await edge.tenantDelete(caller, name)).header),
      }),
    ),
  ];
}

function update(edge: Edge): Method {
  return unary(
    "/coffer.v1.Tenants/Update",
    { request: tenantApi.TenantUpdateRequest, response: tenantApi.TenantResponse },
    async (caller, { name, newName, suspended, limits, compaction }) => {
      const { header, body } = await edge.tenantUpdate(caller, {
        name,
        newName,
        suspended,
        limits: limits === undefined ? undefined : changesOf(limits),
        compaction: compaction === undefined ? undefined : compactionOf(compaction),
      });
      return { header: headerOf(header), tenant: tenantOf(body) };
    },
  );
}

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

const LIMIT_NAMES = Object.keys(LIMITS) as readonly (keyof TenantLimits)[];

/** What an update sends to take a limit away. */
const NO_LIMIT = -1n;

/** Those that the message has. Refuses what is no count. */
function changesOf(message: tenantApi.TenantLimits): LimitChanges {
  const changes: { -readonly [limit in keyof LimitChanges]: LimitChanges[limit] } = {};
  for (const limit of LIMIT_NAMES) {
    const value = message[LIMITS[limit]];
    if (value !== undefined) changes[limit] = value === NO_LIMIT ? undefined : countOf(value);
  }
  return changes;
}

function limitsOf(message: tenantApi.TenantLimits | undefined): TenantLimits {
  const limits: { -readonly [limit in keyof TenantLimits]: TenantLimits[limit] } = {};
  for (const limit of LIMIT_NAMES) {
    const value = message?.[LIMITS[limit]];
    if (value !== undefined) limits[limit] = countOf(value);
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

function countOf(value: bigint): number {
  if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw new CofferError("invalid-argument", `${value} is not a count that a limit can be`);
}

function tenantOf(view: TenantView): tenantApi.Tenant {
  const { usage } = view;
  const limits: { -readonly [limit in keyof tenantApi.TenantLimits]: bigint } = {};
  for (const limit of LIMIT_NAMES) {
    const value = view.limits[limit];
    if (value !== undefined) limits[LIMITS[limit]] = whole(value);
  }
  return {
    id: view.id,
    name: view.name,
    created: whole(view.created),
    revision: whole(view.revision),
    compactRevision: whole(view.compactRevision),
    policyRevision: whole(view.policyRevision),
    suspended: view.suspended,
    limits,
    compaction: compactionMessage(view.compaction),
    usage: {
      keys: whole(usage.keys),
      leases: whole(usage.leases),
      bytes: whole(usage.bytes),
      liveBytes: whole(usage.liveBytes),
      watches: whole(view.watches),
      requestsRefused: whole(view.requestsRefused),
    },
  };
}

function compactionMessage(compaction: TenantCompaction): tenantApi.TenantCompaction {
  switch (compaction.kind) {
    case "age":
      return { policy: { $case: "ageSeconds", value: whole(compaction.seconds) } };
    case "count":
      return { policy: { $case: "revisions", value: whole(compaction.revisions) } };
    case "none":
      return { policy: undefined };
  }
}
