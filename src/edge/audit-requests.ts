import type { Caller, Reply } from "./requests.ts";

export interface AuditQuery {
  readonly limit: number;
  /** Records after this sequence number of this member; 0: the newest. */
  readonly afterSeq: number;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
}

/** What happened. */
export interface AuditEdge {
  /** Canonical JSON lines of this member's audit chain, oldest first. */
  auditTail(caller: Caller, query: AuditQuery): Promise<Reply<readonly string[]>>;
}
