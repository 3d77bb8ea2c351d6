import { Worker } from "node:worker_threads";
import { CofferError } from "../errors.ts";
import {
  ENDED_WORD,
  STOP_WORD,
  type SnapshotReply,
  type SnapshotTask,
  type SnapshotWorkerData,
} from "./snapshot-protocol.ts";
import { stateError } from "./state-errors.ts";

/** Work on a whole snapshot, in a thread of its own. */
export interface RunningTask {
  /** Rejects with what the disk says, or with `state-replaced` if it was stopped. */
  readonly reply: Promise<FinishedReply>;
  /** Stops it, and returns when its files are closed. */
  stop(): void;
  /** Stops it without waiting. */
  abandon(): void;
}

/** What a task that came to its end answers. */
export type FinishedReply = Exclude<SnapshotReply, { readonly kind: "stopped" | "failed" }>;

/** The thread looks whether to stop every few milliseconds, but for the check of a whole file. */
const STOP_WAIT_MS = 10_000;

/** Starts the task; `path` is named in what goes wrong. */
export function startTask(task: SnapshotTask, path: string): RunningTask {
  const control = new SharedArrayBuffer(8);
  const words = new Int32Array(control);
  const workerData: SnapshotWorkerData = { task, control };
  const worker = new Worker(workerUrl(), { workerData });
  const reply = new Promise<FinishedReply>((resolve, reject) => {
    worker.once("message", (answer: SnapshotReply) => {
      if (answer.kind === "stopped") reject(new CofferError("state-replaced"));
      else if (answer.kind === "failed") reject(failureOf(answer, path));
      else resolve(answer);
    });
    worker.once("error", reject);
    worker.once("exit", () =>
      reject(new CofferError("storage-failed", `the thread that works on "${path}" ended early`)),
    );
  });
  return {
    reply,
    stop() {
      Atomics.store(words, STOP_WORD, 1);
      if (Atomics.wait(words, ENDED_WORD, 0, STOP_WAIT_MS) !== "timed-out") return;
      throw new CofferError("storage-failed", `the thread that works on "${path}" does not end`);
    },
    abandon() {
      void worker.terminate();
    },
  };
}

function failureOf(
  { code, message }: { readonly code: string | undefined; readonly message: string },
  path: string,
): Error {
  const failure = Object.assign(new Error(message), code === undefined ? {} : { code });
  const error = stateError(path, failure);
  return error instanceof Error ? error : failure;
}

/** The worker beside this file: compiled, or as TypeScript under a loader. */
function workerUrl(): URL {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new URL(`./snapshot-worker.${extension}`, import.meta.url);
}
