import { existsSync, renameSync, rmSync } from "node:fs";
import SqliteDatabase from "better-sqlite3";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { RaftLog } from "./raft-log.ts";
import type { LogBase } from "./raft-log-rows.ts";
import { type SnapshotPaths, snapshotPaths, syncFolder } from "./snapshot-files.ts";
import { createScopeTables } from "./state-scopes.ts";
import { STATE_SCHEMA_VERSION, numberPragma } from "./state-schema.ts";
import { stateError, withStateErrors } from "./state-errors.ts";
import type { StateStore } from "./state-store.ts";

/**
 * Puts a received state in place of state.db and of the log. The steps, and what a start finds after a
 * crash before each of them:
 *
 *     stage   old state, old log; the received file is forgotten
 *     reset   state.db.next: the rest is done again from here
 *     clear   the log is empty, its base is the snapshot's
 *     swap    the old state.db has lost its write-ahead log, and is never opened again
 *     open    the new pair
 *
 * Each step is durable before the next begins. state.db.next is complete and was checked, so from
 * `reset` on there is only the way forward: a start finishes it before it opens state.db.
 */
export type InstallStep = "stage" | "reset" | "clear" | "swap" | "open";

export interface InstallTarget {
  readonly paths: SnapshotPaths;
  readonly raftLog: RaftLog;
  readonly store: StateStore;
  /** Called before each step; for tests, which crash in it. */
  readonly before?: ((step: InstallStep) => void) | undefined;
}

/** Installs the file at `received`, a whole state as of `base`. */
export function installSnapshot(target: InstallTarget, received: string, base: LogBase): void {
  const { paths, raftLog, store, before = () => undefined } = target;
  withStateErrors(paths.next, () => {
    before("stage");
    renameSync(received, paths.next);
    syncFolder(paths.dataDir);
    before("reset");
    raftLog.reset(base);
    store.replaceFile(() => {
      putInPlace(paths, before);
      before("open");
    });
  });
}

/** No connection to the old state is open any more: SQLite would write to what lies at its path. */
function putInPlace(paths: SnapshotPaths, before: (step: InstallStep) => void): void {
  before("clear");
  for (const suffix of ["-wal", "-shm"]) rmSync(paths.state + suffix, { force: true });
  // The new file under the old log would be the one mixture that nobody could tell.
  syncFolder(paths.dataDir);
  before("swap");
  renameSync(paths.next, paths.state);
  syncFolder(paths.dataDir);
}

/**
 * Finishes an install that a crash cut short; true if there was one. Called at a start between the
 * opening of the log, whose lock guards the folder, and that of the state. Throws `corrupt` if what
 * lies there cannot be such a file.
 */
export function completeInstall(options: {
  readonly dataDir: string;
  readonly raftLog: RaftLog;
  readonly log: Logger;
}): boolean {
  const { raftLog, log } = options;
  const paths = snapshotPaths(options.dataDir);
  if (!existsSync(paths.next)) return false;
  const base = readBase(paths.next);
  if (raftLog.hardState.commit > base.index) {
    throw new CofferError(
      "corrupt",
      `"${paths.next}" holds the state of log entry ${base.index}, and raft.db is committed up to ` +
        `${raftLog.hardState.commit}: it belongs to another time, move it away`,
    );
  }
  withStateErrors(paths.next, () => {
    const { index, term } = raftLog.snapshot;
    if (index !== base.index || term !== base.term) raftLog.reset(base);
    putInPlace(paths, () => undefined);
  });
  log.warn("A snapshot was being installed when this member ended, it is in place now", {
    ...base,
  });
  return true;
}

function readBase(path: string): LogBase {
  let database: SqliteDatabase.Database | undefined;
  try {
    database = new SqliteDatabase(path, { readonly: true });
    checkVersion(path, numberPragma(database, "user_version"));
    const tables = createScopeTables(database);
    return { index: tables.appliedIndex(), term: tables.appliedTerm() };
  } catch (failure) {
    throw stateError(path, failure);
  } finally {
    database?.close();
  }
}

/** What was received had the version of its time; another coffer has been started since. */
function checkVersion(path: string, version: number): void {
  if (version === STATE_SCHEMA_VERSION) return;
  throw new CofferError(
    "storage-failed",
    `"${path}" is a snapshot that was being installed, of schema version ${version}, and this coffer ` +
      `finishes ${STATE_SCHEMA_VERSION} alone: start the coffer that began it once`,
  );
}
