import type { Client } from "../../client/mod.ts";
import type { AuditPort } from "../client-port.ts";
import { replyOf } from "../from-message.ts";

export function auditCalls(client: Client): AuditPort {
  return {
    auditTail: async ({ limit, afterSeq, ...filter }) => {
      const range = { limit: BigInt(limit), afterSeq: BigInt(afterSeq) };
      const response = await client.auditTail({ ...range, ...filter });
      return replyOf(response, response.lines);
    },
  };
}
