import type { Edge } from "../../edge/mod.ts";
import { auditApi } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary } from "./method.ts";

/** coffer.v1.Audit. */
export function auditMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Audit/Tail",
      { request: auditApi.AuditTailRequest, response: auditApi.AuditTailResponse },
      async (caller, { limit, afterSeq, subject, action, outcome }) => {
        const query = { limit: clamp(limit), afterSeq: clamp(afterSeq), subject, action, outcome };
        const { header, body } = await edge.auditTail(caller, query);
        return { header: headerOf(header), lines: [...body] };
      },
    ),
  ];
}
