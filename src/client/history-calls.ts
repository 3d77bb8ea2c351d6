import { historyApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.History. */
export interface HistoryCalls {
  readonly history: Unary<api.HistoryRequest, api.HistoryResponse>;
}

export function historyCalls(call: CallUnary): HistoryCalls {
  return {
    history: call("/coffer.v1.History/List", api.HistoryRequest, api.HistoryResponse),
  };
}
