import { Worker } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import type {
  CheckpointReply,
  CheckpointRequest,
  CheckpointWorkerData,
} from "./state-checkpoint-worker.ts";

/** Copies the write-ahead log back in a thread of its own, while the main one goes on writing. */
export interface Checkpointer {
  /** Told of every commit, with an estimate of the bytes it added to the log. */
  committed(bytes: number): void;
  /** Ends the thread; waits until its connection is closed. False if that takes too long. */
  close(): boolean;
}

/**
 * The thread never catches up with a writer that does not pause, and the log begins anew only when all
 * of it has been copied. So the last few frames are copied here: that many take about a millisecond.
 */
const FRAMES_COPIED_HERE = 200;

/** After this many rounds of the thread the rest is copied here, however much it is. */
const ROUNDS_MAX = 6;

const CLOSE_WAIT_MS = 5000;

/** The thread is started with the first checkpoint, so a small state never has one. */
export function createCheckpointer(
  database: Database,
  options: { readonly path: string; readonly walBytes: number },
): Checkpointer {
  const closed = new SharedArrayBuffer(4);
  let worker: Worker | undefined;
  let pending = 0;
  let round = 0;
  let isBusy = false;

  const ask = (request: CheckpointRequest): void => worker?.postMessage(request);
  const answered = ({ frames, copied }: CheckpointReply): void => {
    isBusy = false;
    if (!database.open) return;
    round += 1;
    if (frames - copied > FRAMES_COPIED_HERE && round < ROUNDS_MAX) {
      isBusy = true;
      ask("checkpoint");
      return;
    }
    round = 0;
    if (!database.inTransaction) database.pragma("wal_checkpoint(PASSIVE)");
  };
  const start = (): Worker => {
    const workerData: CheckpointWorkerData = { path: options.path, closed };
    const made = new Worker(workerUrl(), { workerData });
    made.unref();
    made.on("message", answered);
    // Without its thread the log is copied inside commits, by the limit that SQLite has been given.
    made.on("error", () => {
      isBusy = true;
      worker = undefined;
    });
    return made;
  };

  return {
    committed(bytes) {
      pending += bytes;
      if (isBusy || pending < options.walBytes) return;
      pending = 0;
      isBusy = true;
      worker ??= start();
      ask("checkpoint");
    },
    close() {
      if (worker === undefined) return true;
      ask("close");
      const answer = Atomics.wait(new Int32Array(closed), 0, 0, CLOSE_WAIT_MS);
      worker = undefined;
      return answer !== "timed-out";
    },
  };
}

/** The worker beside this file: compiled, or as TypeScript under a loader. */
function workerUrl(): URL {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new URL(`./state-checkpoint-worker.${extension}`, import.meta.url);
}
