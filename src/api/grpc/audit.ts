import type { Edge } from "../../edge/mod.ts";
import { auditApi } from "../../proto/mod.ts";
import { byteStringOf } from "../../stdx/mod.ts";
import { type Method, clamp, headerOf, unary } from "./method.ts";

/** coffer.v1.Audit. */
export function auditMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Audit/Search",
      { request: auditApi.AuditSearchRequest, response: auditApi.AuditSearchResponse },
      async (caller, { limit, keyPrefix, fromTime, toTime, ...search }) => {
        const { header, body } = await edge.auditSearch(caller, {
          ...search,
          limit: clamp(limit),
          keyPrefix: byteStringOf(keyPrefix),
          fromTime: clamp(fromTime),
          toTime: clamp(toTime),
        });
        return { header: headerOf(header), ...body, lines: [...body.lines] };
      },
    ),
    unary(
      "/coffer.v1.Audit/Checkpoints",
      { request: auditApi.AuditCheckpointsRequest, response: auditApi.AuditCheckpointsResponse },
      async (caller) => {
        const { header, body } = await edge.auditCheckpoints(caller);
        return { header: headerOf(header), checkpoints: [...body] };
      },
    ),
  ];
}
