/** Revisions, ranges, transactions and compaction of one tenant over a synchronous backend. */
export type {
  HistoryMark,
  HistoryPlace,
  HistoryRow,
  KeyBackend,
  KeyReader,
  RevisionRow,
  ScanOptions,
  Slot,
  TenantView,
} from "./backend.ts";
export { type Chain, type ChainLink, type Hash, createChain } from "./chain.ts";
export { checkDeleteRange, checkPut, checkRange, checkTxn } from "./check.ts";
export { type CompactionStep, checkCompact, compactSlice } from "./compaction.ts";
export { guardHolds } from "./compare.ts";
export { type PageRequest, countPage, readPage, readRange } from "./range.ts";
export {
  type TxnContext,
  type TxnPlan,
  applyDeleteRange,
  applyPut,
  applyTxn,
  planTxn,
  readTxn,
  validatePut,
  validateTxn,
} from "./txn.ts";
export { KeyWriter, deletedKey } from "./writer.ts";
export { type PlannedWrites, bytesPut, keysGained, writesOf } from "./writes.ts";
