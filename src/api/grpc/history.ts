import { type KeyValue, key } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { historyApi, mvcc } from "../../proto/mod.ts";
import { byteStringOf } from "../../stdx/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.History. */
export function historyMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.History/List",
      { request: historyApi.HistoryRequest, response: historyApi.HistoryResponse },
      async (caller, { key: of, before, limit, values }) => {
        const page = { before: clamp(before), limit: clamp(limit), values };
        const { header, body } = await edge.history(caller, {
          key: key(byteStringOf(of)),
          ...page,
        });
        const items = body.items.map((item) => ({
          type: item.type === "put" ? mvcc.Event_EventType.PUT : mvcc.Event_EventType.DELETE,
          kv: keyValueOf(item.kv),
          actor: item.actor,
          time: whole(item.time),
          valueBytes: whole(item.valueBytes),
        }));
        const { more, valuesWithheld } = body;
        return { header: headerOf(header), items, more, valuesWithheld };
      },
    ),
  ];
}

function keyValueOf(kv: KeyValue): mvcc.KeyValue {
  return {
    key: Buffer.from(kv.key, "latin1"),
    createRevision: whole(kv.createRevision),
    modRevision: whole(kv.modRevision),
    version: whole(kv.version),
    value: kv.value,
    lease: kv.lease,
  };
}
