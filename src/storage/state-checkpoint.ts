import { Worker } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import type { CheckpointRequest, CheckpointWorkerData } from "./state-checkpoint-worker.ts";

/** Frames of the write-ahead log, and how many of them are in the database file, in SQLite's words. */
interface LogSize {
  readonly log: number;
  readonly checkpointed: number;
}

/** Copies the write-ahead log back in a thread of its own, while the main one goes on writing. */
export interface Checkpointer {
  /** Told after every commit, outside of transactions. */
  committed(): void;
  /** The thread is at work: what is written meanwhile is left for the main thread to copy. */
  isCopying(): boolean;
  /** Ends the thread; waits until its connection is closed. False if that takes too long. */
  close(): boolean;
}

/**
 * The thread never catches up with a writer that does not pause, and the log begins anew only when all
 * of it has been copied. So the last few frames are copied here, and synced, which is little after the
 * thread has synced the rest: that many take about a millisecond.
 */
const FRAMES_COPIED_HERE = 200;

/** After this many rounds of the thread the rest is copied here, however much it is. */
const ROUNDS_MAX = 6;

const CLOSE_WAIT_MS = 5000;

/** The thread is started with the first checkpoint, so a small state never has one. */
export function createCheckpointer(
  database: Database,
  options: { readonly path: string; readonly walBytes: number; readonly pageBytes: number },
): Checkpointer {
  const framesMax = options.walBytes / options.pageBytes;
  const closed = new SharedArrayBuffer(4);
  // Looks without copying; guesses from what was changed would be wrong for removals.
  const look = database.prepare<[], LogSize>("PRAGMA wal_checkpoint(NOOP)");
  let worker: Worker | undefined;
  let round = 0;
  let isBusy = false;
  /** Frames left when a round ended that an open snapshot kept from the end of the log. */
  let kept = 0;

  const ask = (): void => {
    isBusy = true;
    worker ??= start();
    worker.postMessage("checkpoint" satisfies CheckpointRequest);
  };
  const goOn = (): void => {
    const { log, checkpointed } = look.get() ?? { log: 0, checkpointed: 0 };
    const left = log - checkpointed;
    if (round === 0) {
      if (left - Math.min(kept, left) >= framesMax) ask();
    } else if (left > FRAMES_COPIED_HERE && round < ROUNDS_MAX) {
      ask();
    } else {
      round = 0;
      const [after] = database.pragma("wal_checkpoint(PASSIVE)") as LogSize[];
      kept = after === undefined ? 0 : after.log - after.checkpointed;
    }
  };
  const answered = (): void => {
    isBusy = false;
    round += 1;
    // Within a transaction nothing can be copied here: its commit comes back to it.
    if (database.open && !database.inTransaction) goOn();
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
    committed() {
      if (!isBusy) goOn();
    },
    isCopying: () => isBusy && worker !== undefined,
    close() {
      if (worker === undefined) return true;
      worker.postMessage("close" satisfies CheckpointRequest);
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
