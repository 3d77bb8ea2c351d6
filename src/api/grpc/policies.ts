import { key } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { policyApi } from "../../proto/mod.ts";
import { byteStringOf } from "../../stdx/mod.ts";
import { type Method, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Policies. */
export function policyMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Policies/List",
      { request: policyApi.PolicyListRequest, response: policyApi.PolicyListResponse },
      async (caller) => {
        const { header, body } = await edge.policyList(caller);
        const rows = body.rows.map((fields) => ({ fields: [...fields] }));
        return { header: headerOf(header), policyRevision: whole(body.policyRevision), rows };
      },
    ),
    unary(
      "/coffer.v1.Policies/Change",
      { request: policyApi.PolicyChangeRequest, response: policyApi.PolicyChangeResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyChange(caller, {
          add: request.add.map((row) => row.fields),
          remove: request.remove.map((row) => row.fields),
        });
        return { header: headerOf(header), policyRevision: whole(body.policyRevision) };
      },
    ),
    unary(
      "/coffer.v1.Policies/Ask",
      { request: policyApi.PolicyAskRequest, response: policyApi.PolicyAskResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyAsk(caller, {
          subject: request.subject,
          action: request.action,
          key: key(byteStringOf(request.key)),
          rangeEnd: key(byteStringOf(request.rangeEnd)),
        });
        const row = body.row === undefined ? undefined : { fields: [...body.row] };
        return { header: headerOf(header), allowed: body.allowed, row };
      },
    ),
  ];
}
