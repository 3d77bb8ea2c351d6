import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import SqliteDatabase from "better-sqlite3";
import type { Entry } from "../../src/core/raft/mod.ts";
import { type MemberId, memberId } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type RaftLog, openRaftLog } from "../../src/storage/raft-log.ts";
import type { LogFields, Logger } from "../../src/telemetry/mod.ts";
import { TEST_MAC } from "./test-mac.ts";

/** What the tests of the Raft log share. */

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines. */
export function recordingLogger(lines: LogLine[]): Logger {
  const logger: Logger = {
    debug: (message, fields = {}) => void lines.push({ level: "debug", message, fields }),
    info: (message, fields = {}) => void lines.push({ level: "info", message, fields }),
    warn: (message, fields = {}) => void lines.push({ level: "warn", message, fields }),
    error: (message, fields = {}) => void lines.push({ level: "error", message, fields }),
    child: () => logger,
  };
  return logger;
}

/** A folder that is removed when the test ends. */
export function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-raft-log-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An entry whose data follows from its index and term, so that what is read back can be judged. */
export function entryAt(index: number, term: number = 1): Entry {
  const seed = createHash("sha256").update(`${index}/${term}`).digest();
  const data = new Uint8Array(1 + ((index * 7919) % 6000));
  for (let i = 0; i < data.length; i++) data[i] = seed[i % seed.length] ?? 0;
  return { index, term, kind: index % 5 === 0 ? "conf-change" : "normal", data };
}

export function entriesFrom(lo: number, hi: number, term: number = 1): Entry[] {
  return Array.from({ length: hi - lo }, (_, at) => entryAt(lo + at, term));
}

/** Entries as plain values: SQLite gives Buffers, which deepStrictEqual tells from Uint8Array. */
export function plainEntries(entries: readonly Entry[]): Entry[] {
  return entries.map((entry) => ({ ...entry, data: Uint8Array.from(entry.data) }));
}

export const VOTE: MemberId = memberId(2n ** 64n - 1n);

export interface Opened {
  readonly path: string;
  readonly lines: LogLine[];
  open(): RaftLog;
}

export function opener(t: TestContext): Opened {
  const path = join(makeFolder(t), "data", "raft.db");
  const lines: LogLine[] = [];
  const opened: RaftLog[] = [];
  t.after(() => opened.forEach((log) => log.close()));
  const open = (): RaftLog => {
    const log = openRaftLog({ mac: TEST_MAC, path, log: recordingLogger(lines) });
    opened.push(log);
    return withTerms(log);
  };
  return { path, lines, open };
}

/** Saves entries in their term, as raft does, where a test says nothing of a hard state. */
function withTerms(log: RaftLog): RaftLog {
  const save: RaftLog["save"] = ({ hardState, entries }) => {
    const last = entries.at(-1)?.term ?? 0;
    const { term, vote, commit } = hardState ?? log.hardState;
    const raised = term < last ? { term: last, vote, commit } : hardState;
    log.save({ hardState: raised, entries });
  };
  return new Proxy(log, {
    get: (_, name) => {
      if (name === "save") return save;
      const value: unknown = Reflect.get(log, name, log);
      return typeof value === "function" ? (value.bind(log) as unknown) : value;
    },
  });
}

export function all(log: RaftLog): Entry[] {
  if (log.lastIndex < log.firstIndex) return [];
  return plainEntries(log.entries(log.firstIndex, log.lastIndex + 1, Infinity));
}

/** Runs SQL on a closed log, as a flipped bit on the disk would. */
export function damage(path: string, sql: string): void {
  const database = new SqliteDatabase(path);
  database.exec(sql);
  database.close();
}

export function refusal(open: () => RaftLog): CofferError {
  try {
    open();
  } catch (error) {
    assert.ok(error instanceof CofferError, String(error));
    return error;
  }
  assert.fail("The log was opened");
}
