import type { Client } from "../../client/mod.ts";
import type { ReplyHeader, TenantPort, TenantRow } from "../client-port.ts";
import { replyOf } from "../from-message.ts";
import { compactionMessage, limitsMessage, tenantOf } from "../tenant-message.ts";

export function tenantCalls(client: Client): TenantPort {
  return {
    tenantCreate: async ({ name, owner, limits, compaction }) => {
      const response = await client.tenantCreate({
        name,
        owner,
        limits: limitsMessage(limits),
        compaction: compactionMessage(compaction),
      });
      return replyOf(response, tenantOf(response.tenant));
    },
    tenantList: async () => await listAll(client),
    tenantShow: async (name) => {
      const response = await client.tenantShow({ name });
      return replyOf(response, tenantOf(response.tenant));
    },
    tenantUpdate: async ({ name, newName, suspended, limits, compaction }) => {
      const response = await client.tenantUpdate({
        name,
        newName,
        suspended,
        limits: limits === undefined ? undefined : limitsMessage(limits),
        compaction: compaction === undefined ? undefined : compactionMessage(compaction),
      });
      return replyOf(response, tenantOf(response.tenant));
    },
    tenantDelete: async (name) => replyOf(await client.tenantDelete({ name }), undefined),
  };
}

/** Page by page, with the header of the last. */
async function listAll(
  client: Client,
): Promise<{ readonly header: ReplyHeader; readonly body: readonly TenantRow[] }> {
  const all: TenantRow[] = [];
  for (;;) {
    const response = await client.tenantList({ after: all.at(-1)?.name ?? "" });
    const page = response.tenants.map(tenantOf);
    all.push(...page);
    if (!response.more || page.length === 0) return replyOf(response, all);
  }
}
