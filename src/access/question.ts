import type { KeyRange, TenantId } from "../core/types/mod.ts";
import { ACTIONS } from "./row.ts";
import { isPrincipalName } from "./validate.ts";

/** Who asks. `groups` are bare names; a policy knows the group dev as `group:dev`. */
export interface AccessSubject {
  readonly subject: string;
  readonly groups: readonly string[];
}

/** Why a question is refused before any row is looked at. */
export type Refusal =
  | "unknown-tenant"
  /** An empty field, a NUL, a wrong type, or a subject that no identity may have. */
  | "malformed-question";

/** Types promise all this; requests come from outside, and casbin would take `["a"]` for `a`. */
export function isQuestion(action: unknown, range: KeyRange): boolean {
  const { lo, hi }: { readonly lo: unknown; readonly hi: unknown } = range;
  if (typeof lo !== "string" || (hi !== undefined && typeof hi !== "string")) return false;
  if (lo === "" && hi === "\0") return false; // The empty key is no key.
  return (ACTIONS as readonly unknown[]).includes(action);
}

/** Whether all are non-empty text, as far as it must be known before an id is made of them. */
export function isTextual({ subject, groups }: AccessSubject, tenant: TenantId): boolean {
  return isText(tenant) && isText(subject) && Array.isArray(groups) && groups.every(isText);
}

/** Whether an identity may have these names. What the cache holds has passed this already. */
export function isPrincipal({ subject, groups }: AccessSubject): boolean {
  return isPrincipalName(subject) && !groups.some((name) => name.includes("\0"));
}

/**
 * Each part with its length before it, so that no two tuples share an id (casbin's CachedEnforcer
 * joins with `$$`, which a field may hold).
 */
export function principalId({ subject, groups }: AccessSubject, tenant: TenantId): string {
  let id = `${tenant.length}:${tenant}${subject.length}:${subject}`;
  for (const group of groups) id += `${group.length}:${group}`;
  return id;
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}
