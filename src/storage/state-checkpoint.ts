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
  /** Told after every commit, outside of transactions; `removed`: of what is removed in slices. */
  committed(removed: boolean): void;
  /** The thread is at work: what is written meanwhile is left for the main thread to copy. */
  isCopying(): boolean;
  /** Ends the thread; waits until its connection is closed. False if that takes too long. */
  close(): boolean;
}

/**
 * What is removed is copied back in pieces of this share of the log: it can wait for the thread, and a
 * sync of the whole log's pages at once would hold up those of other files for as long.
 */
const PIECE_SHARE = 1 / 4;

/**
 * The thread never catches up with a writer that does not pause, and the log begins anew only when all
 * of it has been copied. So the last few frames are copied here, and synced, which is little after the
 * thread has synced the rest: that many take about a millisecond.
 */
const FRAMES_COPIED_HERE = 200;

/** After this many rounds of the thread the rest is copied here, however much it is. */
const ROUNDS_MAX = 6;

const CLOSE_WAIT_MS = 5000;

export function createCheckpointer(
  database: Database,
  options: { readonly path: string; readonly walBytes: number; readonly pageBytes: number },
): Checkpointer {
  const framesMax = options.walBytes / options.pageBytes;
  // Looks without copying; guesses from what was changed would be wrong for removals.
  const look = database.prepare<[], LogSize>("PRAGMA wal_checkpoint(NOOP)");
  /** Rounds that the thread has made towards the end of the log; undefined: it is not made for it. */
  let rounds: number | undefined;
  /** Lengths of the log, in frames: when a piece was last copied, and when its end last was. */
  let copied = 0;
  let ended = 0;

  const begin = (removed: boolean): void => {
    const { log } = look.get() ?? { log: 0 };
    // It has begun anew.
    if (log < copied) copied = 0;
    if (log < ended) ended = 0;
    if (log - ended >= framesMax) {
      rounds = 0;
      thread.copy();
    } else if (removed && log - copied >= framesMax * PIECE_SHARE) {
      copied = log;
      thread.copy();
    }
  };
  const goOn = (made: number): void => {
    const { log, checkpointed } = look.get() ?? { log: 0, checkpointed: 0 };
    const left = log - checkpointed;
    if (left > FRAMES_COPIED_HERE && made < ROUNDS_MAX) {
      thread.copy();
      return;
    }
    if (left > 0) database.pragma("wal_checkpoint(PASSIVE)");
    rounds = undefined;
    // An open snapshot may have kept the end from being copied: it is not tried with every commit.
    copied = log;
    ended = log;
  };
  const thread = createCopyThread(options.path, () => {
    if (rounds === undefined) return;
    rounds += 1;
    // Within a transaction nothing can be copied here: its commit comes back to it.
    if (database.open && !database.inTransaction) goOn(rounds);
  });

  return {
    committed(removed) {
      if (!thread.isFree()) return;
      if (rounds === undefined) begin(removed);
      else goOn(rounds);
    },
    isCopying: () => thread.isCopying(),
    close: () => thread.close(),
  };
}

interface CopyThread {
  /** Has the log copied back as far as it goes. */
  copy(): void;
  isCopying(): boolean;
  /** It can be told to copy; never again once it has failed. */
  isFree(): boolean;
  /** As `Checkpointer.close`. */
  close(): boolean;
}

/** Started with the first copy, so a small state never has one. */
function createCopyThread(path: string, onCopied: () => void): CopyThread {
  const closed = new SharedArrayBuffer(4);
  let worker: Worker | undefined;
  let isBusy = false;
  const start = (): Worker => {
    const workerData: CheckpointWorkerData = { path, closed };
    const made = new Worker(workerUrl(), { workerData });
    made.unref();
    made.on("message", () => {
      isBusy = false;
      onCopied();
    });
    // Without its thread the log is copied inside commits, by the limit that SQLite has been given.
    made.on("error", () => {
      isBusy = true;
      worker = undefined;
    });
    return made;
  };
  return {
    copy() {
      isBusy = true;
      worker ??= start();
      worker.postMessage("checkpoint" satisfies CheckpointRequest);
    },
    isCopying: () => isBusy && worker !== undefined,
    isFree: () => !isBusy,
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
