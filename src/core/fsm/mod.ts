/** The replicated state machine: one committed command of any kind, applied to keys, leases and all. */
export {
  type Applied,
  type BackendSnapshot,
  CLUSTER_SLOT,
  type FsmBackend,
  type ScopeRow,
} from "./backend.ts";
export {
  type AppliedBatch,
  type ChainPoint,
  type CommittedEntry,
  type Fsm,
  createFsm,
} from "./fsm.ts";
export type { RecordsChanged } from "./apply-records.ts";
export type {
  Chain,
  Hash,
  HistoryMark,
  HistoryPlace,
  HistoryRow,
  KeyBackend,
  KeyReader,
  RevisionRow,
  ScanOptions,
  Slot,
} from "../mvcc/mod.ts";
export type { LeaseBackend, LeaseRow } from "../lease/mod.ts";
