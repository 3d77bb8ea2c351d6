import type { Client } from "../../client/mod.ts";
import type { HistoryPort } from "../client-port.ts";
import { historyItemOf, replyOf } from "../from-message.ts";
import { bytesOfKey } from "../keys.ts";

export function historyCalls(client: Client): HistoryPort {
  return {
    history: async ({ key, before, limit }) => {
      const range = { before: BigInt(before), limit: BigInt(limit) };
      const response = await client.history({ key: bytesOfKey(key), ...range });
      return replyOf(response, response.items.map(historyItemOf));
    },
  };
}
