import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { RequestContext } from "./gate.ts";
import { refuseSuspended } from "./tenant-gate.ts";

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

/**
 * Refuses credentials that were revoked, and a tenant that was suspended, while the member caught up. What
 * others have answered is known here only then: a member that lags must not let anybody in for longer.
 */
export function refuseMeanwhile(context: Presented): void {
  const failure = credentialFailure(context);
  if (failure !== undefined) throw failure;
  refuseSuspended(context);
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
  const cause = "the credentials are of an earlier tenant of that name";
  return new CofferError("permission-denied", undefined, { cause });
}
