import { closeSync, fdatasyncSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import SqliteDatabase from "better-sqlite3";
import { assert } from "../stdx/mod.ts";

/** What the worker is started with. */
export interface CheckpointWorkerData {
  readonly path: string;
  /** Set to 1 and notified once the worker's connection is closed. */
  readonly closed: SharedArrayBuffer;
}

export type CheckpointRequest = "checkpoint" | "close";

/**
 * The thread that copies the write-ahead log back. A passive checkpoint runs beside writers and
 * readers, and its two fsyncs take tens of milliseconds, which the main thread does not have.
 */
function serve(): void {
  assert(parentPort !== null, "The checkpoint worker was not started as a worker");
  const port = parentPort;
  const { path, closed } = workerData as CheckpointWorkerData;
  const database = new SqliteDatabase(path);
  database.pragma("synchronous = NORMAL");
  database.pragma("wal_autocheckpoint = 0");
  // SQLite syncs the file only with the end of the log, which the main thread copies: what is synced
  // here that one does not wait for. Closing this drops SQLite's locks, hence last of all.
  const file = openSync(path, "r+");
  port.on("message", (request: CheckpointRequest) => {
    if (request === "close") {
      database.close();
      closeSync(file);
      const flag = new Int32Array(closed);
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
      port.close();
      return;
    }
    database.pragma("wal_checkpoint(PASSIVE)");
    fdatasyncSync(file);
    port.postMessage("done");
  });
}

serve();
