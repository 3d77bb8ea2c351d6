import type { HistoryItem, Key } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** One revision of a key; the value is empty unless it was asked for and may be read. */
export interface HistoryEntry extends HistoryItem {
  /** Bytes of the plaintext value; 0 for a delete. */
  readonly valueBytes: number;
}

export interface HistoryPage {
  /** Newest first. */
  readonly items: readonly HistoryEntry[];
  /** There are older ones. */
  readonly more: boolean;
  /** Values were asked for, and the caller may list the key and not read it. */
  readonly valuesWithheld: boolean;
}

/** What a key has been. */
export interface HistoryEdge {
  /** `before` 0: from the newest. `limit` 0: as many as fit. */
  history(
    caller: Caller,
    request: {
      readonly key: Key;
      readonly before: number;
      readonly limit: number;
      readonly values: boolean;
    },
  ): Promise<Reply<HistoryPage>>;
}
