import { type KeyRange, type TenantId, rangesMeet } from "../core/types/mod.ts";
import { ActionRights, type Decision } from "./action-rights.ts";
import { byLowerBound, coverOf } from "./cover.ts";
import type { Judge } from "./judge.ts";
import { judgedRange } from "./object.ts";
import { closureOf } from "./roles.ts";
import type { Action, Grant, PolicyRow } from "./row.ts";
import type { TenantPolicy } from "./tenant-policy.ts";

/** Why a range is allowed or not. */
export interface Grounds {
  /** All rows that deny part of the range; else those that together allow it, or as much as they reach. */
  readonly rows: readonly PolicyRow[];
  /** The first keys that no row allows, if none denies either. */
  readonly missing: KeyRange | undefined;
}

/**
 * What one principal may do in one tenant at one policy revision, worked out as it is asked.
 *
 * Invariant: holds no TenantPolicy. A principal that is kept must not keep alive the rows of all
 * the others, at a revision that has passed.
 */
export class Rights {
  readonly policyRevision: number;
  readonly closure: ReadonlyMap<string, string | undefined>;
  /** Grants and roles held: the measure of its memory. */
  readonly size: number;
  /** Whether any allow row is among its grants. */
  readonly hasGrant: boolean;
  readonly #judge: Judge;
  readonly #subject: string;
  readonly #domain: TenantId;
  readonly #grants: readonly Grant[];
  readonly #of: { [action in Action]?: ActionRights } = {};

  constructor(
    judge: Judge,
    policy: TenantPolicy,
    principal: { readonly subject: string; readonly groups: readonly string[] },
  ) {
    const groups = principal.groups.map((name) => `group:${name}`);
    const closure = closureOf(principal.subject, groups, policy.links);
    const grants: Grant[] = [];
    for (const member of closure.keys()) grants.push(...(policy.grants.get(member) ?? []));
    this.policyRevision = policy.revision;
    this.closure = closure;
    this.size = grants.length + closure.size - 1;
    this.hasGrant = grants.some((grant) => grant.allows);
    this.#judge = judge;
    this.#subject = principal.subject;
    this.#domain = policy.tenant;
    this.#grants = grants;
  }

  decide(action: Action, asked: KeyRange): Decision {
    return (this.#of[action] ??= this.#rightsFor(action)).decide(judgedRange(asked));
  }

  /** What `decide` is founded on; worked out anew each time. */
  grounds(action: Action, asked: KeyRange): Grounds {
    const range = judgedRange(asked);
    const usable = this.#grantsFor(action);
    const denials = usable.filter((grant) => !grant.allows && rangesMeet(grant.range, range));
    if (denials.length > 0) return { rows: denials.map(({ row }) => row), missing: undefined };
    const allows = usable.filter((grant) => grant.allows).sort(byLowerBound);
    const { pieces, gap } = coverOf(range, allows);
    return { rows: pieces.map(({ grant }) => grant.row), missing: gap };
  }

  #rightsFor(action: Action): ActionRights {
    const about = { subject: this.#subject, domain: this.#domain, action, closure: this.closure };
    return new ActionRights(this.#judge, about, this.#grantsFor(action), this.policyRevision);
  }

  #grantsFor(action: Action): readonly Grant[] {
    return this.#grants.filter((grant) => grant.action === action || grant.action === "*");
  }
}
