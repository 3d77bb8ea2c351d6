import { createHash } from "node:crypto";
import { closeSync, fdatasyncSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import SqliteDatabase from "better-sqlite3";
import { assert } from "../stdx/mod.ts";
import {
  ENDED_WORD,
  STOP_WORD,
  type SnapshotReply,
  type SnapshotWorkerData,
} from "./snapshot-protocol.ts";
import { contentOf } from "./state-content.ts";
import { STATE_SCHEMA_VERSION, isStateSchema, numberPragma } from "./state-schema.ts";

/** Pages that one step copies: a few milliseconds, after which the thread can be stopped. */
const PAGES_PER_STEP = 1024;
/**
 * Steps between syncs, 64 MiB. Written back bit by bit, as a flush of all of it at once would hold up
 * the fsync of the Raft log for a third of a second.
 */
const STEPS_PER_SYNC = 16;
const HASH_STEP_BYTES = 1024 * 1024;
const CACHE_KIB = 4096;

class Stopped extends Error {}

async function serve(): Promise<void> {
  assert(parentPort !== null, "The snapshot worker was not started as a worker");
  const { task, control } = workerData as SnapshotWorkerData;
  const words = new Int32Array(control);
  const checkStop = (): void => {
    if (Atomics.load(words, STOP_WORD) === 1) throw new Stopped();
  };
  let reply: SnapshotReply;
  try {
    checkStop();
    reply =
      task.kind === "copy"
        ? await copy(task.source, task.target, checkStop)
        : check(task.path, task.sha256, checkStop);
  } catch (failure) {
    reply = replyOfFailure(failure);
  }
  Atomics.store(words, ENDED_WORD, 1);
  Atomics.notify(words, ENDED_WORD);
  parentPort.postMessage(reply);
}

function replyOfFailure(failure: unknown): SnapshotReply {
  if (failure instanceof Stopped) return { kind: "stopped" };
  const { code, message } = failure as { readonly code?: unknown; readonly message?: unknown };
  return {
    kind: "failed",
    code: typeof code === "string" ? code : undefined,
    message: String(message ?? failure),
  };
}

/**
 * Copies inside one read transaction: writers go on, the copy never begins again, and all of it is of
 * one moment. The write-ahead log is not begun anew meanwhile, so it grows by what they write.
 */
async function copy(source: string, target: string, checkStop: () => void): Promise<SnapshotReply> {
  const database = new SqliteDatabase(source, { readonly: true });
  const descriptor = openSync(target, "r+");
  let steps = 0;
  try {
    database.pragma(`cache_size = -${CACHE_KIB}`);
    database.exec("BEGIN");
    // BEGIN alone takes no read mark; the first read does.
    database.prepare("SELECT value FROM meta").get();
    await database.backup(target, {
      progress() {
        checkStop();
        steps += 1;
        if (steps % STEPS_PER_SYNC === 0) fdatasyncSync(descriptor);
        return PAGES_PER_STEP;
      },
    });
  } finally {
    closeSync(descriptor);
    database.close();
  }
  const content = closeCopy(target);
  return { kind: "copied", content, ...hashFile(target, checkStop) };
}

/** Makes the copy one file that needs none beside it, and reads what it is. */
function closeCopy(path: string): ReturnType<typeof contentOf> {
  const database = new SqliteDatabase(path);
  try {
    database.pragma("locking_mode = EXCLUSIVE");
    database.pragma("journal_mode = DELETE");
    return contentOf(database);
  } finally {
    database.close();
  }
}

function check(path: string, sha256: Uint8Array, checkStop: () => void): SnapshotReply {
  if (!hashFile(path, checkStop).sha256.equals(sha256)) return { kind: "wrong-hash" };
  const database = new SqliteDatabase(path, { readonly: true });
  try {
    database.pragma(`cache_size = -${CACHE_KIB}`);
    if (!isStateSchema(database)) {
      return { kind: "no-state", problem: "it is a database of another program" };
    }
    const version = numberPragma(database, "user_version");
    if (version !== STATE_SCHEMA_VERSION) return { kind: "other-schema", version };
    // It would want files beside it, which an install does not know.
    if (database.pragma("journal_mode", { simple: true }) !== "delete") {
      return { kind: "no-state", problem: "it is not closed" };
    }
    const problem = database.prepare<unknown[], string>("PRAGMA quick_check(1)").pluck().get();
    if (problem !== "ok") return { kind: "no-state", problem: problem ?? "it cannot be checked" };
    return { kind: "checked", content: contentOf(database) };
  } finally {
    database.close();
  }
}

function hashFile(path: string, checkStop: () => void): { bytes: number; sha256: Buffer } {
  const hash = createHash("sha256");
  const step = Buffer.allocUnsafe(HASH_STEP_BYTES);
  const descriptor = openSync(path, "r");
  try {
    let bytes = 0;
    for (;;) {
      checkStop();
      const count = readSync(descriptor, step, 0, step.length, bytes);
      if (count === 0) return { bytes, sha256: hash.digest() };
      hash.update(step.subarray(0, count));
      bytes += count;
    }
  } finally {
    closeSync(descriptor);
  }
}

void serve();
