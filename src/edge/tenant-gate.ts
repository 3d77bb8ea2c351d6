import {
  CLUSTER_SCOPE,
  type PutRequest,
  type TenantId,
  type TenantLimits,
} from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Node } from "../node/mod.ts";
import type { AuditEvent, AuditPort } from "./ports.ts";
import type { RefusalRecords } from "./refusal-records.ts";
import type { Caller } from "./requests.ts";
import type { TenantActivity } from "./tenant-activity.ts";

/** What holds for every request of a tenant, before any work is done for it. */

/** What of a request on its way through the gate this looks at. */
interface Entering {
  readonly deps: {
    readonly node: Pick<Node, "state">;
    readonly audit: AuditPort;
    readonly activity: TenantActivity;
    readonly refusals: RefusalRecords;
  };
  readonly caller: Caller;
  /** The tenant, or CLUSTER_SCOPE. */
  readonly scope: TenantId;
  /** The tenant's, as they were when the request came. */
  limits: TenantLimits;
  /** It is one too many for its tenant's requests per second. */
  isOverRate: boolean;
}

/**
 * Refuses a request over the tenant's rate, and all of a suspended tenant. Only who is bound to the
 * tenant comes this far, so nobody else can use its rate up.
 */
export function enterTenant(context: Entering): void {
  noteScope(context);
  if (context.scope === CLUSTER_SCOPE) return;
  const { activity, node } = context.deps;
  const tenant = node.state.tenant(context.scope);
  if (tenant === undefined) {
    throw new CofferError("permission-denied", undefined, { cause: "no such tenant" });
  }
  if (!activity.takeRequest(tenant)) {
    context.isOverRate = true;
    const limit = `over ${tenant.limits.requestsPerSecond} requests per second`;
    throw new CofferError("too-many-requests", undefined, { cause: limit });
  }
  if (tenant.suspended) throw new CofferError("tenant-suspended");
  context.limits = tenant.limits;
}

/** So that nobody is held back for what another asks by the same connection. */
function noteScope({ scope, caller: { connection } }: Entering): void {
  if (connection === undefined || connection.scope === scope) return;
  connection.scope = connection.scope === undefined ? scope : "";
}

/** Refuses a put of what is larger than the tenant's limits allow. */
export function refuseLargePut(
  { limits }: Pick<Entering, "limits">,
  { key, value }: PutRequest,
): void {
  const { keyBytesMax, valueBytesMax } = limits;
  if (keyBytesMax !== undefined && key.length > keyBytesMax) {
    throw new CofferError("quota-exceeded", `key-bytes: ${keyBytesMax}`);
  }
  if (valueBytesMax !== undefined && value.length > valueBytesMax) {
    throw new CofferError("quota-exceeded", `value-bytes: ${valueBytesMax}`);
  }
}

/** Records why a request failed; one over its tenant's rate is counted instead, and held back. */
export async function recordFailure(
  context: Entering,
  failure: CofferError,
  event: AuditEvent,
): Promise<void> {
  const { activity, audit, refusals } = context.deps;
  activity.countFailure(context.scope, failure.code);
  if (!context.isOverRate) return await audit.append(event);
  await refusals.add(event);
  await activity.holdRefusal(context.scope, context.caller);
}
