import { auditApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Audit. */
export interface AuditCalls {
  readonly auditSearch: Unary<api.AuditSearchRequest, api.AuditSearchResponse>;
  readonly auditCheckpoints: Unary<api.AuditCheckpointsRequest, api.AuditCheckpointsResponse>;
}

export function auditCalls(call: CallUnary): AuditCalls {
  return {
    auditSearch: call("/coffer.v1.Audit/Search", api.AuditSearchRequest, api.AuditSearchResponse),
    auditCheckpoints: call(
      "/coffer.v1.Audit/Checkpoints",
      api.AuditCheckpointsRequest,
      api.AuditCheckpointsResponse,
    ),
  };
}
