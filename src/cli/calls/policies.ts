import type { Client } from "../../client/mod.ts";
import type { PolicyPort } from "../client-port.ts";
import { countOf, replyOf } from "../from-message.ts";
import { bytesOfKey } from "../keys.ts";

export function policyCalls(client: Client): PolicyPort {
  const fieldsOf = (row: readonly string[]): { fields: string[] } => ({ fields: [...row] });
  return {
    policyList: async () => {
      const response = await client.policyList();
      const rows = response.rows.map(({ fields }) => fields);
      return replyOf(response, { policyRevision: countOf(response.policyRevision), rows });
    },
    policyChange: async ({ add, remove }) => {
      const rows = { add: add.map(fieldsOf), remove: remove.map(fieldsOf) };
      const response = await client.policyChange(rows);
      return replyOf(response, { policyRevision: countOf(response.policyRevision) });
    },
    policyAsk: async ({ subject, action, key, rangeEnd }) => {
      const range = { key: bytesOfKey(key), rangeEnd: bytesOfKey(rangeEnd) };
      const response = await client.policyAsk({ subject, action, ...range });
      return replyOf(response, { allowed: response.allowed, row: response.row?.fields });
    },
  };
}
