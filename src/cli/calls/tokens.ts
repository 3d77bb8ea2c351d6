import type { Client } from "../../client/mod.ts";
import type { TokenPort } from "../client-port.ts";
import { countOf, replyOf } from "../from-message.ts";

export function tokenCalls(client: Client): TokenPort {
  return {
    tokenIssue: async ({ subject, groups, tenants, ttlSeconds }) => {
      const names = { groups: [...groups], tenants: [...tenants] };
      const request = { subject, ...names, ttlSeconds: BigInt(ttlSeconds) };
      const response = await client.tokenIssue(request);
      return replyOf(response, { token: response.token, expires: countOf(response.expires) });
    },
    whoAmI: async () => {
      const response = await client.whoAmI();
      const actor = response.actor ?? { issuer: "", subject: "", requestId: "" };
      return replyOf(response, { actor, tenant: response.tenant, groups: response.groups });
    },
  };
}
