import type { Client } from "../../client/mod.ts";
import type { HistoryPort } from "../client-port.ts";
import { countOf, historyItemOf, replyOf } from "../from-message.ts";
import { bytesOfKey } from "../keys.ts";

export function historyCalls(client: Client): HistoryPort {
  return {
    history: async ({ key, before, limit, values }) => {
      const page = { before: BigInt(before), limit: BigInt(limit), values };
      const response = await client.history({ key: bytesOfKey(key), ...page });
      const items = response.items.map((item) => ({
        ...historyItemOf(item),
        valueBytes: countOf(item.valueBytes),
      }));
      const { more, valuesWithheld } = response;
      return replyOf(response, { items, more, valuesWithheld });
    },
  };
}
