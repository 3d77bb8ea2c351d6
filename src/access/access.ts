import type { KeyRange, TenantId } from "../core/types/mod.ts";
import { createJudge } from "./judge.ts";
import { chainTo } from "./roles.ts";
import { type Decision, createRights } from "./rights.ts";
import { type AccessStatus, createRightsCache } from "./rights-cache.ts";
import { type AccessSubject, type Refusal, isQuestion } from "./question.ts";
import type { Action, PolicyRow } from "./row.ts";

export type Reason = "row-allows" | "row-denies" | "no-row-allows" | Refusal;

export interface Explanation extends Decision {
  readonly reason: Reason;
  /** The chain from the subject to the subject of the deciding row; empty without one. */
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
  /** Whether any allow row at all reaches the subject in this tenant. Throws as `check`. */
  hasGrant(subject: AccessSubject, tenant: TenantId): boolean;
  /** The same decision with its grounds. For the tenant's admin: it may name a hole. */
  explain(subject: AccessSubject, tenant: TenantId, action: Action, range: KeyRange): Explanation;
  /**
   * The users, service accounts, certificates and groups of the policy that may. Found one by one
   * as the iteration goes, so that a long answer can be spread over turns of the event loop.
   */
  whoCan(tenant: TenantId, action: Action, range: KeyRange): Iterable<Holder>;
  /** What is held in memory now. */
  status(): AccessStatus;
}

export interface AccessOptions {
  /** Text of policies/model.conf. */
  readonly modelText: string;
  /** All rows of a tenant; none for an unknown one. */
  readonly rows: (tenant: TenantId) => readonly PolicyRow[];
  /** Asked for each check, so it must be cheap. Moves with each change of rows; 0: no tenant. */
  readonly policyRevision: (tenant: TenantId) => number;
  /** Bounds of what is kept; what does not fit is worked out again. */
  readonly limits?: { readonly policyRowsMax: number; readonly principalGrantsMax: number };
}

const DEFAULT_LIMITS = { policyRowsMax: 50_000, principalGrantsMax: 50_000 } as const;

const REFUSED: Decision = { allowed: false, policyRevision: 0 };

/** The decider. Throws CofferError `invalid-argument` if the model is not usable. */
export function createAccess(options: AccessOptions): Access {
  const judge = createJudge(options.modelText);
  const { policyOf, rightsOf, status } = createRightsCache({
    judge,
    rows: options.rows,
    policyRevision: options.policyRevision,
    limits: options.limits ?? DEFAULT_LIMITS,
  });

  const check: Access["check"] = (subject, tenant, action, range) => {
    if (!isQuestion(action, range)) return REFUSED;
    const rights = rightsOf(subject, tenant);
    return typeof rights === "string" ? REFUSED : rights.decide(action, range);
  };

  const hasGrant: Access["hasGrant"] = (subject, tenant) => {
    const rights = rightsOf(subject, tenant);
    return typeof rights !== "string" && rights.hasGrant;
  };

  const explain: Access["explain"] = (subject, tenant, action, range) => {
    const rights = isQuestion(action, range) ? rightsOf(subject, tenant) : "malformed-question";
    if (typeof rights === "string") return { ...REFUSED, reason: rights, via: [] };
    const decision = rights.decide(action, range);
    const { allowed, row } = decision;
    const via = row === undefined ? [] : chainTo(rights.closure, row[1] ?? "");
    const reason = allowed ? "row-allows" : row === undefined ? "no-row-allows" : "row-denies";
    return { ...decision, reason, via };
  };

  function* whoCan(tenant: TenantId, action: Action, range: KeyRange): Generator<Holder> {
    const policy = isQuestion(action, range) ? policyOf(tenant) : undefined;
    if (policy === undefined) return;
    for (const subject of new Set([...policy.grants.keys(), ...policy.links.keys()])) {
      if (subject.startsWith("role:")) continue;
      // Not kept: a question about everybody must not push out those who are at work.
      const rights = createRights(judge, policy, { subject, groups: [] });
      const { allowed, row } = rights.decide(action, range);
      if (allowed && row !== undefined) yield { subject, row };
    }
  }

  return { check, hasGrant, explain, whoCan, status };
}
