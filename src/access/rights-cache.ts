import type { TenantId } from "../core/types/mod.ts";
import { createCache } from "./cache.ts";
import type { Judge } from "./judge.ts";
import {
  type AccessSubject,
  type Refusal,
  isPrincipal,
  isTextual,
  principalId,
} from "./question.ts";
import { Rights } from "./rights.ts";
import type { PolicyRow } from "./row.ts";
import { type TenantPolicy, tenantPolicy } from "./tenant-policy.ts";

/**
 * Policies of tenants and rights of principals, kept while their policy revision stands. The
 * revision is compared at each question, so a change is seen by the next one and nothing need be
 * notified.
 */
export interface RightsCache {
  /** Undefined: no such tenant. Throws CofferError `record-invalid` for a damaged policy. */
  policyOf(tenant: TenantId): TenantPolicy | undefined;
  /** Throws as `policyOf`. */
  rightsOf(subject: AccessSubject, tenant: TenantId): Rights | Refusal;
  status(): AccessStatus;
}

export interface AccessStatus {
  readonly tenants: number;
  readonly policyRows: number;
  readonly principals: number;
  /** Weight of what is kept for principals: grants, roles, and long names. */
  readonly principalGrants: number;
}

export function createRightsCache(options: {
  readonly judge: Judge;
  readonly rows: (tenant: TenantId) => readonly PolicyRow[];
  readonly policyRevision: (tenant: TenantId) => number;
  readonly limits: { readonly policyRowsMax: number; readonly principalGrantsMax: number };
}): RightsCache {
  const { judge, rows, policyRevision, limits } = options;
  const policies = createCache<TenantPolicy>({
    weightMax: limits.policyRowsMax,
    weigh: (_, policy) => 1 + policy.rowCount,
  });
  const principals = createCache<Rights>({
    weightMax: limits.principalGrantsMax,
    weigh: (id, rights) => 1 + rights.size + (id.length >>> 8),
  });

  const policyAt = (tenant: TenantId, revision: number): TenantPolicy => {
    let policy = policies.get(tenant);
    if (policy === undefined || policy.revision !== revision) {
      policy = tenantPolicy(tenant, revision, rows(tenant));
      policies.set(tenant, policy);
    }
    if (policy.fault !== undefined) throw policy.fault;
    return policy;
  };

  const policyOf = (tenant: TenantId): TenantPolicy | undefined => {
    const revision = policyRevision(tenant);
    return revision > 0 ? policyAt(tenant, revision) : undefined;
  };

  const rightsOf = (subject: AccessSubject, tenant: TenantId): Rights | Refusal => {
    if (!isTextual(subject, tenant)) return "malformed-question";
    const revision = policyRevision(tenant);
    if (!(revision > 0)) return "unknown-tenant";
    const id = principalId(subject, tenant);
    const known = principals.get(id);
    if (known !== undefined && known.policyRevision === revision) return known;
    if (!isPrincipal(subject)) return "malformed-question";
    const rights = new Rights(judge, policyAt(tenant, revision), subject);
    principals.set(id, rights);
    return rights;
  };

  const status = (): AccessStatus => ({
    tenants: policies.size(),
    policyRows: policies.weight() - policies.size(),
    principals: principals.size(),
    principalGrants: principals.weight() - principals.size(),
  });
  return { policyOf, rightsOf, status };
}
