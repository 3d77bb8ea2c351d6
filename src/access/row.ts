import type { KeyRange } from "../core/types/mod.ts";
import { objectBytes, objectRange } from "./object.ts";

/** What a request does to the keys it names. `list` shows names and counts, `read` values. */
export type Action = "read" | "list" | "write" | "delete" | "watch" | "lease" | "admin";

export const ACTIONS: readonly Action[] = [
  "read",
  "list",
  "write",
  "delete",
  "watch",
  "lease",
  "admin",
];

/**
 * A policy row without its domain, as people write it: `["p", sub, obj, act, eft]` or
 * `["g", member, role]`. Text; `obj` stands for the UTF-8 bytes of a key or prefix.
 */
export type PolicyRow = readonly string[];

/** A `p` row made ready to be matched. Made of validated rows only. */
export interface Grant {
  readonly row: PolicyRow;
  readonly subject: string;
  /** An Action, or "*". */
  readonly action: string;
  readonly allows: boolean;
  readonly range: KeyRange;
  /** The row as casbin is given it: sub, dom, obj (a byte string), act, eft. */
  readonly rule: string[];
}

export function grantOf(row: PolicyRow, domain: string): Grant {
  const [, subject = "", object = "", action = "", effect = ""] = row;
  const bytes = objectBytes(object);
  return {
    row,
    subject,
    action,
    allows: effect === "allow",
    range: objectRange(bytes),
    rule: [subject, domain, bytes, action, effect],
  };
}
