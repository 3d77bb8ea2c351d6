import type { KeyRange } from "../core/types/mod.ts";
import { singleKey } from "./object.ts";

/**
 * What `admin` can be about. Action `admin` never concerns keys: its objects are these names, exact
 * or by prefix like any other (`policy/*`), and `*` is all of them. A check that concerns no single
 * matter uses ALL_KEYS, which only a row on `*` satisfies.
 */
export type AdminMatter =
  | "audit/read"
  | "certificate-rule/change"
  | "certificate-rule/read"
  | "compact"
  | "issuer/change"
  | "issuer/read"
  | "member/change"
  | "member/move-leader"
  | "member/read"
  | "metrics/read"
  | "policy/change"
  | "policy/read"
  | "status"
  | "tenant/create"
  | "tenant/delete"
  | "tenant/read"
  | "tenant/update"
  | "token/issue"
  | "token/revoke"
  | "token/rotate-key";

/** The range to check action `admin` on for one matter. */
export function adminRange(matter: AdminMatter): KeyRange {
  return singleKey(matter);
}
