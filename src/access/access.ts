import type { KeyRange, TenantId } from "../core/types/mod.ts";
import type { Decision } from "./action-rights.ts";
import { createJudge } from "./judge.ts";
import { chainTo } from "./roles.ts";
import { Rights } from "./rights.ts";
import { type AccessStatus, type RightsCache, createRightsCache } from "./rights-cache.ts";
import { type AccessSubject, type Refusal, isQuestion } from "./question.ts";
import type { Action, PolicyRow } from "./row.ts";
import { validateRows } from "./validate.ts";

export type Reason = "row-allows" | "row-denies" | "no-row-allows" | Refusal;

export interface Explanation {
  readonly allowed: boolean;
  readonly policyRevision: number;
  readonly reason: Reason;
  /** All rows that deny; else those that together allow, or allow as much as they reach. */
  readonly grounds: readonly Ground[];
  /** The first keys that no row allows, where no row denies. */
  readonly missing: KeyRange | undefined;
}

export interface Ground {
  readonly row: PolicyRow;
  /** The chain from the subject who asks to the subject of the row, both included. */
  readonly via: readonly string[];
}

/** A subject that the policy names and gives the right by itself, whatever its groups. */
export interface Holder {
  readonly subject: string;
  /** The first of those that give it, if only several together do. */
  readonly row: PolicyRow;
}

/** Rows that are judged by without being in force. */
export interface Trial {
  /** As `Access.check`, of the tenant that the trial is for. */
  check(subject: AccessSubject, tenant: TenantId, action: Action, range: KeyRange): Decision;
  hasGrant(subject: AccessSubject, tenant: TenantId): boolean;
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
   * The users, service accounts, certificates and groups of the policy that may, in the order of their
   * names from the one behind `after` on. Each step judges one subject, and yields undefined for one that
   * may not, so that a long answer can be spread over turns of the event loop.
   */
  whoCan(
    tenant: TenantId,
    action: Action,
    range: KeyRange,
    after?: string,
  ): Iterable<Holder | undefined>;
  /**
   * A judge by `rows` in the place of the tenant's own, for as long as the caller keeps it. Throws
   * CofferError `invalid-argument` for rows that are not valid.
   */
  trial(tenant: TenantId, rows: readonly PolicyRow[]): Trial;
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

  const { check, hasGrant } = checksOf(rightsOf);

  const explain: Access["explain"] = (subject, tenant, action, range) => {
    const rights = isQuestion(action, range) ? rightsOf(subject, tenant) : "malformed-question";
    if (typeof rights === "string") {
      return { ...REFUSED, reason: rights, grounds: [], missing: undefined };
    }
    const { allowed, row, policyRevision } = rights.decide(action, range);
    const { rows, missing } = rights.grounds(action, range);
    const grounds = rows.map((one) => ({ row: one, via: chainTo(rights.closure, one[1] ?? "") }));
    const reason = allowed ? "row-allows" : row === undefined ? "no-row-allows" : "row-denies";
    return { allowed, policyRevision, reason, grounds, missing };
  };

  function* whoCan(
    tenant: TenantId,
    action: Action,
    range: KeyRange,
    after = "",
  ): Generator<Holder | undefined> {
    const policy = isQuestion(action, range) ? policyOf(tenant) : undefined;
    if (policy === undefined) return;
    const named = new Set([...policy.grants.keys(), ...policy.links.keys()]);
    const subjects = [...named].filter((name) => !name.startsWith("role:") && name > after).sort();
    for (const subject of subjects) {
      // Not kept: a question about everybody must not push out those who are at work.
      const rights = new Rights(judge, policy, { subject, groups: [] });
      const { allowed, row } = rights.decide(action, range);
      yield allowed && row !== undefined ? { subject, row } : undefined;
    }
  }

  const trial: Access["trial"] = (tenant, rows) => {
    validateRows(rows);
    const { rightsOf: rightsOnTrial } = createRightsCache({
      judge,
      rows: () => rows,
      policyRevision: (asked) => (asked === tenant ? 1 : 0),
      limits: options.limits ?? DEFAULT_LIMITS,
    });
    return checksOf(rightsOnTrial);
  };

  return { check, hasGrant, explain, whoCan, trial, status };
}

function checksOf(rightsOf: RightsCache["rightsOf"]): Trial {
  return {
    check: (subject, tenant, action, range) => {
      if (!isQuestion(action, range)) return REFUSED;
      const rights = rightsOf(subject, tenant);
      return typeof rights === "string" ? REFUSED : rights.decide(action, range);
    },
    hasGrant: (subject, tenant) => {
      const rights = rightsOf(subject, tenant);
      return typeof rights !== "string" && rights.hasGrant;
    },
  };
}
