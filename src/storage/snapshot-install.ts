import { existsSync, renameSync, rmSync } from "node:fs";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { FileMac } from "./file-mac.ts";
import type { RaftLog } from "./raft-log.ts";
import type { LogBase } from "./raft-log-rows.ts";
import { type SnapshotPaths, snapshotPaths, syncFolder } from "./snapshot-files.ts";
import { verifiedContent } from "./state-content.ts";
import { withStateErrors } from "./state-errors.ts";
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
    raftLog.noteInstall(base);
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
  /** Of the state. */
  readonly mac: FileMac;
  readonly log: Logger;
}): boolean {
  const { raftLog, log } = options;
  const paths = snapshotPaths(options.dataDir);
  if (!existsSync(paths.next)) return false;
  const base = verifiedContent(paths.next, options.mac);
  if (!isSame(raftLog.snapshot, base) && !isSame(raftLog.install, base)) {
    throw new CofferError(
      "corrupt",
      `"${paths.next}" holds the state of log entry ${base.index}, and raft.db knows of no such ` +
        "install: move it away",
    );
  }
  if (raftLog.hardState.commit > base.index) {
    throw new CofferError(
      "corrupt",
      `"${paths.next}" holds the state of log entry ${base.index}, and raft.db is committed up to ` +
        `${raftLog.hardState.commit}: it belongs to another time, move it away`,
    );
  }
  withStateErrors(paths.next, () => {
    if (!isSame(raftLog.snapshot, base)) raftLog.reset({ index: base.index, term: base.term });
    putInPlace(paths, () => undefined);
  });
  log.warn("A snapshot was being installed when this member ended, it is in place now", {
    index: base.index,
    term: base.term,
  });
  return true;
}

function isSame(one: LogBase | undefined, other: LogBase): boolean {
  return one?.index === other.index && one.term === other.term;
}
