import type { Client } from "../../client/mod.ts";
import { bytesOf } from "../../stdx/mod.ts";
import type { AuditPort } from "../client-port.ts";
import { replyOf } from "../from-message.ts";

export function auditCalls(client: Client): AuditPort {
  return {
    auditSearch: async ({ limit, keyPrefix, fromTime, toTime, ...search }) => {
      const response = await client.auditSearch({
        ...search,
        limit: BigInt(limit),
        keyPrefix: bytesOf(keyPrefix),
        fromTime: BigInt(fromTime),
        toTime: BigInt(toTime),
      });
      const { lines, next, done, end } = response;
      return replyOf(response, { lines, next, done, end });
    },
    auditCheckpoints: async () => {
      const response = await client.auditCheckpoints({});
      return replyOf(response, response.checkpoints);
    },
  };
}
