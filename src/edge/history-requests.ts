import type { HistoryItem, Key } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** What a key has been. */
export interface HistoryEdge {
  /** Newest first; values opened for those who may read them. `before` 0: from the newest. */
  history(
    caller: Caller,
    request: { readonly key: Key; readonly before: number; readonly limit: number },
  ): Promise<Reply<readonly HistoryItem[]>>;
}
