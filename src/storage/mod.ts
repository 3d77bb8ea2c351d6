/** SQLite: the applied state of a member, and its Raft log. */
export {
  type StateSize,
  type StateStore,
  type StateStoreOptions,
  openStateStore,
} from "./state-store.ts";
export { type RaftLog, type RaftLogOptions, openRaftLog } from "./raft-log.ts";
export type { FileMac } from "./file-mac.ts";
export type { LogBase } from "./raft-log-rows.ts";
export {
  type FileSnapshotStore,
  type SnapshotStoreOptions,
  openSnapshotStore,
} from "./snapshot-store.ts";
export { completeInstall } from "./snapshot-install.ts";
export { readRecords } from "./read-records.ts";
