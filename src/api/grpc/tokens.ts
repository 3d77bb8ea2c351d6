import type { Edge } from "../../edge/mod.ts";
import { tokenApi } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Tokens. */
export function tokenMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tokens/Issue",
      { request: tokenApi.TokenIssueRequest, response: tokenApi.TokenIssueResponse },
      async (caller, { subject, groups, tenants, ttlSeconds, certificate }) => {
        const request = { subject, groups, tenants, ttlSeconds: clamp(ttlSeconds), certificate };
        const { header, body } = await edge.tokenIssue(caller, request);
        const { token, tokenId } = body;
        return { header: headerOf(header), token, tokenId, expires: whole(body.expires) };
      },
    ),
    unary(
      "/coffer.v1.Tokens/RotateKey",
      { request: tokenApi.TokenRotateKeyRequest, response: tokenApi.TokenRotateKeyResponse },
      async (caller, { dropFormer }) => {
        const { header, body } = await edge.tokenRotateKey(caller, { dropFormer });
        return { header: headerOf(header), keyId: body.keyId };
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
