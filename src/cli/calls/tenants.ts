import type { Client } from "../../client/mod.ts";
import type { TenantPort } from "../client-port.ts";
import { replyOf, tenantOf } from "../from-message.ts";

export function tenantCalls(client: Client): TenantPort {
  return {
    tenantCreate: async (request) => {
      const response = await client.tenantCreate(request);
      return replyOf(response, tenantOf(response.tenant));
    },
    tenantList: async () => {
      const response = await client.tenantList();
      return replyOf(response, response.tenants.map(tenantOf));
    },
    tenantShow: async (name) => {
      const response = await client.tenantShow({ name });
      return replyOf(response, tenantOf(response.tenant));
    },
    tenantDelete: async (name) => replyOf(await client.tenantDelete({ name }), undefined),
  };
}
