import {
  CLUSTER_SCOPE,
  type KeyRange,
  type LeaseId,
  type StateReader,
  type TenantId,
  isSingleKey,
  key,
  keyAfter,
  keyRange,
  leaseId,
} from "../core/types/mod.ts";
import type { AccessPort, Action, AdminMatter, Subject } from "./ports.ts";

/**
 * What requests ask of the policy. Each request's questions are noted in its audit record as they are
 * put, all of them before the first is answered, so that the record says what the request takes:
 * `policy try` judges recorded requests by nothing else, and by the same function as the gate.
 */
export type Right =
  | { readonly kind: "keys"; readonly action: Action; readonly range: KeyRange }
  /** Any of `actions` is enough. */
  | { readonly kind: "any-of"; readonly actions: readonly Action[]; readonly range: KeyRange }
  /** `action` on every key that hangs on a lease. */
  | { readonly kind: "lease-keys"; readonly action: Action; readonly lease: LeaseId }
  /** Some right in the scope, whichever. */
  | { readonly kind: "any" }
  /** `admin` of a matter in the cluster's scope, whatever scope the request is for. */
  | { readonly kind: "operator"; readonly matter: AdminMatter };

export interface Asker {
  readonly principal: Subject;
  readonly scope: TenantId;
}

/** What answers: the policy in force, or one on trial. */
export interface RightsJudge {
  readonly policy: Pick<AccessPort, "check" | "hasGrant">;
  /** What hangs on a lease now. */
  readonly state: Pick<StateReader, "lease">;
}

/** The range that stands for one matter of administration. */
export function matterRange(matter: AdminMatter): KeyRange {
  const name = key(matter);
  return { lo: name, hi: keyAfter(name) };
}

export function isAllowed(
  right: Right,
  { principal, scope }: Asker,
  { policy, state }: RightsJudge,
): boolean {
  switch (right.kind) {
    case "keys":
      return policy.check(principal, scope, right.action, right.range).allowed;
    case "any-of":
      return right.actions.some(
        (action) => policy.check(principal, scope, action, right.range).allowed,
      );
    case "lease-keys":
      return (state.lease(scope, right.lease, true)?.keys ?? []).every(
        (k) => policy.check(principal, scope, right.action, { lo: k, hi: keyAfter(k) }).allowed,
      );
    case "any":
      return policy.hasGrant(principal, scope);
    case "operator":
      return policy.check(principal, CLUSTER_SCOPE, "admin", matterRange(right.matter)).allowed;
  }
}

/** For the reason of a refusal. */
export function nameOf(right: Right): string {
  switch (right.kind) {
    case "keys":
      return `no right to ${right.action}`;
    case "any-of":
      return `no right to ${right.actions.join(" or ")}`;
    case "lease-keys":
      return `no right to ${right.action} a key of the lease`;
    case "any":
      return "no right in this tenant";
    case "operator":
      return `no right to ${right.matter} in the system scope`;
  }
}

const LEASE_KEYS = "lease-keys:";

/**
 * The rights as an audit record holds them, without repeats: `[action]` for the record's own key and
 * range, `[action, key, rangeEnd]` for another, where `action` may be `read|list` for either;
 * `[lease-keys:ACTION, id]`, `[any]`, `[operator, matter]`.
 */
export function rightTexts(
  rights: readonly Right[],
  target: { readonly key: string; readonly rangeEnd: string },
): readonly (readonly string[])[] {
  const [only] = rights;
  if (only === undefined) return [];
  if (rights.length === 1) return [textOf(only, target)];
  const texts = new Map<string, readonly string[]>();
  for (const right of rights) {
    const text = textOf(right, target);
    texts.set(JSON.stringify(text), text);
  }
  return [...texts.values()];
}

function textOf(
  right: Right,
  target: { readonly key: string; readonly rangeEnd: string },
): readonly string[] {
  switch (right.kind) {
    case "keys":
      return rangeText(right.action, right.range, target);
    case "any-of":
      return rangeText(right.actions.join("|"), right.range, target);
    case "lease-keys":
      return [`${LEASE_KEYS}${right.action}`, BigInt.asUintN(64, right.lease).toString(16)];
    case "any":
      return ["any"];
    case "operator":
      return ["operator", right.matter];
  }
}

function rangeText(
  action: string,
  range: KeyRange,
  target: { readonly key: string; readonly rangeEnd: string },
): readonly string[] {
  const rangeEnd = rangeEndOf(range);
  if (range.lo === target.key && rangeEnd === target.rangeEnd) return [action];
  return [action, range.lo, rangeEnd];
}

/** The right of a text; undefined for one that a record has cut. */
export function rightOf(
  text: readonly string[],
  target: { readonly key: string; readonly rangeEnd: string },
): Right | undefined {
  const [word = "", first, second] = text;
  if (word === "any") return { kind: "any" };
  if (word === "operator") return { kind: "operator", matter: first as AdminMatter };
  if (word.startsWith(LEASE_KEYS)) {
    const action = word.slice(LEASE_KEYS.length);
    const lease = leaseId(BigInt.asIntN(64, BigInt(`0x${first ?? "0"}`)));
    return isAction(action) ? { kind: "lease-keys", action, lease } : undefined;
  }
  const k = first ?? target.key;
  const rangeEnd = first === undefined ? target.rangeEnd : (second ?? "");
  const range = keyRange(key(k), key(rangeEnd));
  const actions = word.split("|");
  if (!actions.every(isAction)) return undefined;
  const [action] = actions;
  if (actions.length > 1 || action === undefined) return { kind: "any-of", actions, range };
  return { kind: "keys", action, range };
}

/** As a request names the end of a range. */
function rangeEndOf(range: KeyRange): string {
  if (isSingleKey(range)) return "";
  return range.hi ?? "\0";
}

const ACTIONS: ReadonlySet<string> = new Set<Action>([
  "read",
  "list",
  "watch",
  "write",
  "delete",
  "lease",
  "admin",
]);

export const ACTION_NAMES: readonly string[] = [...ACTIONS];

export function isAction(text: string): text is Action {
  return ACTIONS.has(text);
}
