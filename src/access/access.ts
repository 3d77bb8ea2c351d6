import type { KeyRange, TenantId } from "../core/types/mod.ts";
import { createCache } from "./cache.ts";
import { createJudge } from "./judge.ts";
import { chainTo } from "./roles.ts";
import { ACTIONS, type Action, type PolicyRow } from "./row.ts";
import { type Decision, type Rights, createRights } from "./rights.ts";
import { type TenantPolicy, tenantPolicy } from "./tenant-policy.ts";
import { isPrincipalName } from "./validate.ts";

/** Who asks. `groups` are bare names; a policy knows the group dev as `group:dev`. */
export interface AccessSubject {
  readonly subject: string;
  readonly groups: readonly string[];
}

export type Reason =
  | "row-allows"
  | "row-denies"
  | "no-row-allows"
  | "unknown-tenant"
  /** An empty field, a field with a NUL or of a wrong type, a subject that no identity may have. */
  | "malformed-question";

export interface Explanation extends Decision {
  readonly reason: Reason;
  /** From the subject over groups and roles to the subject of the deciding row; empty without one. */
  readonly via: readonly string[];
}

/** A subject that the policy names and gives the right by itself, whatever its groups. */
export interface Holder {
  readonly subject: string;
  readonly row: PolicyRow;
}

export interface Access {
  /**
   * Whether `subject` may do `action` to every key of `range`; a single key is `[key, key + "\0")`.
   * Throws only CofferError `record-invalid`, if the stored policy itself is damaged.
   */
  check(subject: AccessSubject, tenant: TenantId, action: Action, range: KeyRange): Decision;
  /** The same decision with its grounds. For the tenant's admin: it may name a hole. */
  explain(subject: AccessSubject, tenant: TenantId, action: Action, range: KeyRange): Explanation;
  /**
   * The users, service accounts, certificates and groups of the policy that may. Found one by one as
   * the iteration goes, so that a long answer can be spread over turns of the event loop.
   */
  whoCan(tenant: TenantId, action: Action, range: KeyRange): Iterable<Holder>;
  /** What is held in memory now. */
  status(): AccessStatus;
}

export interface AccessStatus {
  readonly tenants: number;
  readonly policyRows: number;
  readonly principals: number;
  readonly principalGrants: number;
}

export interface AccessOptions {
  /** Text of policies/model.conf. */
  readonly modelText: string;
  /** All rows of a tenant; none for an unknown one. */
  readonly rows: (tenant: TenantId) => readonly PolicyRow[];
  /** Asked for each check, so it must be cheap. Moves with every change of rows; 0: no such tenant. */
  readonly policyRevision: (tenant: TenantId) => number;
  /** Bounds of what is kept; what does not fit is worked out again. */
  readonly limits?: { readonly policyRowsMax: number; readonly principalGrantsMax: number };
}

const DEFAULT_LIMITS = { policyRowsMax: 50_000, principalGrantsMax: 50_000 } as const;

/** The decider. Throws CofferError `invalid-argument` if the model is not usable. */
export function createAccess(options: AccessOptions): Access {
  const judge = createJudge(options.modelText);
  const limits = options.limits ?? DEFAULT_LIMITS;
  const policies = createCache<TenantPolicy>({
    weightMax: limits.policyRowsMax,
    weigh: (_, policy) => 1 + policy.rowCount,
  });
  const principals = createCache<Rights>({
    weightMax: limits.principalGrantsMax,
    weigh: (id, rights) => 1 + rights.grantCount + (id.length >>> 8),
  });

  const policyOf = (tenant: TenantId, revision: number): TenantPolicy => {
    let policy = policies.get(tenant);
    if (policy === undefined || policy.revision !== revision) {
      policy = tenantPolicy(tenant, revision, options.rows(tenant));
      policies.set(tenant, policy);
    }
    if (policy.fault !== undefined) throw policy.fault;
    return policy;
  };

  /** Undefined: refused before any row is looked at. */
  const rightsOf = (subject: AccessSubject, tenant: TenantId): Rights | Reason => {
    if (!isText(tenant) || !isText(subject.subject) || !isTextList(subject.groups)) {
      return "malformed-question";
    }
    const revision = options.policyRevision(tenant);
    if (!(revision > 0)) return "unknown-tenant";
    const id = principalId(subject, tenant);
    const known = principals.get(id);
    if (known !== undefined && known.policy.revision === revision) return known;
    if (!isPrincipalName(subject.subject) || subject.groups.some((name) => name.includes("\0"))) {
      return "malformed-question";
    }
    const rights = createRights(judge, policyOf(tenant, revision), subject);
    principals.set(id, rights);
    return rights;
  };

  const check: Access["check"] = (subject, tenant, action, range) => {
    if (!isQuestion(action, range)) return REFUSED;
    const rights = rightsOf(subject, tenant);
    return typeof rights === "string" ? REFUSED : rights.decide(action, range);
  };

  const explain: Access["explain"] = (subject, tenant, action, range) => {
    const rights = isQuestion(action, range) ? rightsOf(subject, tenant) : "malformed-question";
    if (typeof rights === "string") return { ...REFUSED, reason: rights, via: [] };
    const decision = rights.decide(action, range);
    const { allowed, row } = decision;
    const reason = allowed ? "row-allows" : row === undefined ? "no-row-allows" : "row-denies";
    return {
      ...decision,
      reason,
      via: row === undefined ? [] : chainTo(rights.closure, row[1] ?? ""),
    };
  };

  function* whoCan(tenant: TenantId, action: Action, range: KeyRange): Generator<Holder> {
    const revision =
      isText(tenant) && isQuestion(action, range) ? options.policyRevision(tenant) : 0;
    if (!(revision > 0)) return;
    const policy = policyOf(tenant, revision);
    for (const subject of new Set([...policy.grants.keys(), ...policy.links.keys()])) {
      if (subject.startsWith("role:")) continue;
      // Not kept: a question about everybody must not push out those who are at work.
      const { allowed, row } = createRights(judge, policy, { subject, groups: [] }).decide(
        action,
        range,
      );
      if (allowed && row !== undefined) yield { subject, row };
    }
  }

  const status = (): AccessStatus => ({
    tenants: policies.size(),
    policyRows: policies.weight() - policies.size(),
    principals: principals.size(),
    principalGrants: principals.weight() - principals.size(),
  });
  return { check, explain, whoCan, status };
}

const REFUSED: Decision = { allowed: false, policyRevision: 0 };

/**
 * Each part with its length before it, so that no two tuples share an id (casbin's CachedEnforcer
 * joins with `$$`, which a field may hold).
 */
function principalId({ subject, groups }: AccessSubject, tenant: TenantId): string {
  let id = `${tenant.length}:${tenant}${subject.length}:${subject}`;
  for (const group of groups) id += `${group.length}:${group}`;
  return id;
}

/** Types promise all this; requests come from outside, and casbin would take `["a"]` for `a`. */
function isQuestion(action: unknown, range: KeyRange): boolean {
  const { lo, hi }: { readonly lo: unknown; readonly hi: unknown } = range;
  if (typeof lo !== "string" || (hi !== undefined && typeof hi !== "string")) return false;
  if (lo === "" && hi === "\0") return false; // The empty key is no key.
  return (ACTIONS as readonly unknown[]).includes(action);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}
