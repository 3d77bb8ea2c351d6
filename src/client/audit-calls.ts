import { auditApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Audit. */
export interface AuditCalls {
  readonly auditTail: Unary<api.AuditTailRequest, api.AuditTailResponse>;
}

export function auditCalls(call: CallUnary): AuditCalls {
  return {
    auditTail: call("/coffer.v1.Audit/Tail", api.AuditTailRequest, api.AuditTailResponse),
  };
}
