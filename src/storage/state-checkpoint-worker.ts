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

/** Frames of the write-ahead log, and how many of them are in the database file by now. */
export interface CheckpointReply {
  readonly frames: number;
  readonly copied: number;
}

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
  port.on("message", (request: CheckpointRequest) => {
    if (request === "close") {
      database.close();
      const flag = new Int32Array(closed);
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
      port.close();
      return;
    }
    const [result] = database.pragma("wal_checkpoint(PASSIVE)") as {
      log: number;
      checkpointed: number;
    }[];
    const reply: CheckpointReply = {
      frames: result?.log ?? 0,
      copied: result?.checkpointed ?? 0,
    };
    port.postMessage(reply);
  });
}

serve();
