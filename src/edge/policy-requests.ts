import type { Key } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** A policy row without its domain: `["p", sub, obj, act, eft]` or `["g", member, role]`. */
export type PolicyRow = readonly string[];

export interface AccessQuestion {
  /** "": the caller. */
  readonly subject: string;
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
}

export interface AccessAnswer {
  readonly allowed: boolean;
  /** The row that decided; `undefined` when nothing granted it. */
  readonly row: PolicyRow | undefined;
}

/** Policies of one scope. */
export interface PolicyEdge {
  policyList(
    caller: Caller,
  ): Promise<Reply<{ readonly policyRevision: number; readonly rows: readonly PolicyRow[] }>>;
  policyChange(
    caller: Caller,
    request: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
  ): Promise<Reply<{ readonly policyRevision: number }>>;
  policyAsk(caller: Caller, question: AccessQuestion): Promise<Reply<AccessAnswer>>;
}
