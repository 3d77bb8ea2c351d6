import type { Edge } from "../../edge/mod.ts";
import { tokenApi } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Tokens. */
export function tokenMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tokens/Issue",
      { request: tokenApi.TokenIssueRequest, response: tokenApi.TokenIssueResponse },
      async (caller, { subject, groups, tenants: names, ttlSeconds }) => {
        const request = { subject, groups, tenants: names, ttlSeconds: clamp(ttlSeconds) };
        const { header, body } = await edge.tokenIssue(caller, request);
        return { header: headerOf(header), token: body.token, expires: whole(body.expires) };
      },
    ),
    unary(
      "/coffer.v1.Tokens/WhoAmI",
      { request: tokenApi.WhoAmIRequest, response: tokenApi.WhoAmIResponse },
      async (caller) => {
        const { header, body } = await edge.whoAmI(caller);
        const { actor, tenant, groups } = body;
        return { header: headerOf(header), actor, tenant, groups: [...groups] };
      },
    ),
  ];
}
