import { join } from "node:path";
import { type Audit, openAudit } from "../audit/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import type { FileKeys } from "../seal/mod.ts";
import {
  type RaftLog,
  type StateStore,
  completeInstall,
  openRaftLog,
  openStateStore,
} from "../storage/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";
import { processClock } from "./clock.ts";
import type { MemberFile } from "./member-file.ts";

/** The files of one member, opened in order and closed in the opposite one. */
export interface Files {
  readonly raftLog: RaftLog;
  readonly store: StateStore;
  readonly audit: Audit;
}

/** Opens them, or makes new ones. Ends a snapshot's installation that a crash cut short. */
export async function openFiles(
  { dataDir }: ServerConfig,
  ids: MemberFile,
  deps: {
    readonly log: Logger;
    readonly metrics: Metrics;
    readonly fileKeys: FileKeys;
    readonly openAudit?: typeof openAudit | undefined;
  },
): Promise<Files> {
  const { log, metrics, fileKeys } = deps;
  // Members give it to each other.
  const stateMac = fileKeys.mac("state.db", "");
  const memberId = ids.memberId.toString(16);
  const raftLog = openRaftLog({
    path: join(dataDir, "raft.db"),
    mac: fileKeys.mac("raft.db", memberId),
    log,
    onFsync: (seconds) => metrics.walFsync.observe(seconds),
  });
  try {
    // The log's lock guards the folder, so no other process is at it.
    completeInstall({ dataDir, raftLog, mac: stateMac, log });
    const store = openStateStore({
      path: join(dataDir, "state.db"),
      mac: stateMac,
      commit: "later",
      onCommit: (seconds) => metrics.backendCommit.observe(seconds),
    });
    try {
      const audit = await (deps.openAudit ?? openAudit)({
        folder: join(dataDir, "audit"),
        memberId,
        clock: processClock,
        log,
        onFailed: (records) => metrics.auditFailures.inc(records),
      });
      audit.onWritten((records) => metrics.auditRecords.inc(records));
      return { raftLog, store, audit };
    } catch (error) {
      store.close();
      throw error;
    }
  } catch (error) {
    raftLog.close();
    throw error;
  }
}

export async function closeFiles({ raftLog, store, audit }: Files): Promise<void> {
  await audit.close();
  store.close();
  raftLog.close();
}
