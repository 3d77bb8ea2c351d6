import type { Key, KeyRange } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** A policy row without its domain: `["p", sub, obj, act, eft]` or `["g", member, role]`. */
export type PolicyRow = readonly string[];

export interface PolicyChange {
  readonly add: readonly PolicyRow[];
  readonly remove: readonly PolicyRow[];
}

export interface AccessQuestion {
  /** "": the caller. */
  readonly subject: string;
  /** Of a subject that is named; the caller has its own. */
  readonly groups: readonly string[];
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
}

export interface AccessAnswer {
  readonly allowed: boolean;
  /** The row that decided; `undefined` when nothing granted it. */
  readonly row: PolicyRow | undefined;
}

export interface WhoCanQuestion {
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
  /** Only subjects behind this one. */
  readonly after: string;
  /** 0: as many as fit. */
  readonly limit: number;
}

export interface WhoCanAnswer {
  readonly holders: readonly { readonly subject: string; readonly row: PolicyRow }[];
  readonly more: boolean;
  /** What to ask on after. */
  readonly next: string;
  readonly policyRevision: number;
}

export interface AccessExplanation {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly allowed: boolean;
  readonly reason: string;
  readonly grounds: readonly { readonly row: PolicyRow; readonly via: readonly string[] }[];
  /** The first keys that no row allows. */
  readonly missing: KeyRange | undefined;
}

/** What a change of policy would do to recorded requests. */
export interface TrialResult {
  /** Why the change would be refused; then nothing is judged. */
  readonly problems: readonly string[];
  readonly records: number;
  readonly judged: number;
  /** Of those judged: decided otherwise when they were made than the policy in force would. */
  readonly moved: number;
  /** Records that name less than was asked. */
  readonly cut: number;
  /** Milliseconds since the epoch; 0: no record. */
  readonly oldest: number;
  /** The most frequent first. */
  readonly changes: readonly TrialChange[];
  readonly changesTotal: number;
  /** The caller itself could no longer change the policy. */
  readonly locksOut: boolean;
}

export interface TrialChange {
  readonly subject: string;
  readonly groups: readonly string[];
  /** Of the audit record. */
  readonly action: string;
  /** Byte strings. */
  readonly key: string;
  readonly rangeEnd: string;
  readonly allowedNow: boolean;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

/** Policies of one scope. */
export interface PolicyEdge {
  policyList(
    caller: Caller,
  ): Promise<Reply<{ readonly policyRevision: number; readonly rows: readonly PolicyRow[] }>>;
  policyChange(
    caller: Caller,
    request: PolicyChange,
  ): Promise<Reply<{ readonly policyRevision: number }>>;
  policyAsk(caller: Caller, question: AccessQuestion): Promise<Reply<AccessAnswer>>;
  policyWhoCan(caller: Caller, question: WhoCanQuestion): Promise<Reply<WhoCanAnswer>>;
  policyExplain(caller: Caller, question: AccessQuestion): Promise<Reply<AccessExplanation>>;
  /** `last`: how many of the newest records to judge; 0: 10,000. */
  policyTry(
    caller: Caller,
    request: PolicyChange & { readonly last: number },
  ): Promise<Reply<TrialResult>>;
}
