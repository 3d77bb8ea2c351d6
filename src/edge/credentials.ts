import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { RequestContext } from "./gate.ts";

/** Whose credentials are asked about, and where. */
export type Presented = Pick<RequestContext, "deps" | "caller" | "principal" | "scope">;

/**
 * Why the caller's credentials are not good, or not any more, in the scope that was found: revoked
 * there or everywhere, or given out for an earlier tenant of that name (refusal 17). undefined: good.
 */
export function credentialFailure(context: Presented): CofferError | undefined {
  const { deps, caller, principal, scope } = context;
  const revoked = deps.identity.recheck(principal, caller.certificate, scope);
  return revoked ?? formerFailure(context);
}

/** A request on its way through the gate. */
interface Entering extends Presented {
  credentialRevision: number;
}

/** Of no state: a write at it is asked again. */
const UNKNOWN_REVISION = 0;

/**
 * Refuses a caller whose credentials are not good in the scope, and notes the state that they are good in:
 * apply takes a write only while nothing has changed that could tell otherwise.
 */
export function admit(context: Entering): void {
  const failure = credentialFailure(context);
  if (failure !== undefined) throw failure;
  const { identity, node } = context.deps;
  context.credentialRevision =
    identity.settling === undefined
      ? node.state.credentialRevision(context.scope)
      : UNKNOWN_REVISION;
}

/**
 * Refuses who would not be let in by what the member has learnt since the request came: credentials that were
 * revoked, a tenant that has another name now, or was suspended. What others have answered is known here
 * only after catching up: a member that lags must not let anybody in for longer.
 */
export function refuseMeanwhile(context: Entering): void {
  admit(context);
  const { deps, principal, scope } = context;
  if (scope === CLUSTER_SCOPE) return;
  const tenant = deps.node.state.tenantByName(principal.tenant);
  if (tenant?.id !== scope) throw denied("the tenant has that name no more");
  if (tenant.suspended) throw new CofferError("tenant-suspended");
}

function formerFailure({ deps, principal, scope }: Presented): CofferError | undefined {
  if (scope === CLUSTER_SCOPE || principal.tenants === "*") return undefined;
  const id = principal.tenantIds?.get(principal.tenant);
  if (id !== undefined) return id === scope ? undefined : formerTenant();
  const left = deps.formerTenants.lastOf(principal.tenant);
  if (left === undefined || principal.issuer === "anonymous") return undefined;
  // Both in whole seconds: one of the same second may be from before.
  return Math.floor(principal.issuedAt ?? 0) <= left ? formerTenant() : undefined;
}

function formerTenant(): CofferError {
  return denied("the credentials are of an earlier tenant of that name");
}

function denied(cause: string): CofferError {
  return new CofferError("permission-denied", undefined, { cause });
}
