import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Entry } from "../../src/core/raft/mod.ts";
import type { LogFields, Logger } from "../../src/telemetry/mod.ts";

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
