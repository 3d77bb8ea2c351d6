import type { Caller, Reply } from "./requests.ts";

/** Which records; "" and 0 do not filter. */
export interface AuditSearch {
  readonly limit: number;
  readonly oldestFirst: boolean;
  /** `next` or `end` of an answer of this member since its start; "": from the first record. */
  readonly cursor: string;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
  readonly requestId: string;
  /** A byte string. */
  readonly keyPrefix: string;
  /** Milliseconds since the epoch: from the first, before the second. */
  readonly fromTime: number;
  readonly toTime: number;
  /** For operators in the system scope: the name or id of one tenant. */
  readonly tenant: string;
}

export interface AuditFound {
  /** Canonical JSON, in the order asked for. */
  readonly lines: readonly string[];
  readonly next: string;
  readonly done: boolean;
  /** Where records will be that are written later. */
  readonly end: string;
}

/** What happened. */
export interface AuditEdge {
  /** One page of this member's records of the caller's tenant; of all for operators. */
  auditSearch(caller: Caller, search: AuditSearch): Promise<Reply<AuditFound>>;
  /** Signed places in the chains of all members: JSON, one each. */
  auditCheckpoints(caller: Caller): Promise<Reply<readonly string[]>>;
}
