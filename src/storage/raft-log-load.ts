import type { Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import { TAG_BYTES, changedError } from "./file-mac.ts";
import type { HardState } from "../core/raft/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  type ChainBase,
  ENTRY_COLUMNS,
  type EntryRow,
  type LogBase,
  type LogRows,
  NO_TAG,
} from "./raft-log-rows.ts";
import { TermRuns } from "./raft-log-terms.ts";

export interface LoadedLog {
  readonly hardState: HardState | undefined;
  readonly terms: TermRuns;
  readonly base: ChainBase;
  /** Of the last entry, or of the base. */
  readonly lastTag: Uint8Array;
  /** The snapshot whose install was begun and did not come as far as `reset`. */
  readonly install: LogBase | undefined;
}

const FRESH_BASE: ChainBase = { index: 0, term: 0, tag: NO_TAG };

const NEXT_STEP =
  "restore this member from a snapshot or remove its data folder and let it join again";

/**
 * Reads and checks every row. Damage above the commit index is cut off with a log line: those entries
 * may be lost. Damage at or below it is an error: they must not be.
 */
export function loadRaftLog(
  database: Database,
  rows: LogRows,
  { path, log }: { readonly path: string; readonly log: Logger },
): LoadedLog {
  checkKey(database, rows, path);
  const saved = loadRecord(database, "hard-state", (record) => rows.hardStateOf(record), path);
  const known = loadRecord(database, "base", (record) => rows.baseOf(record), path);
  const base = known ?? FRESH_BASE;
  const install = loadRecord(database, "install", (record) => rows.installOf(record), path);
  // A crash in the middle of compaction leaves rows below the base.
  database.prepare("DELETE FROM entries WHERE idx <= ?").run(base.index);
  const terms = new TermRuns({ index: base.index, term: base.term });
  const { damaged, commit: rowsCommit, lastTag } = loadTerms(database, { rows, base, terms });
  const hardState =
    saved === undefined ? undefined : { ...saved, commit: Math.max(saved.commit, rowsCommit) };
  if (damaged !== undefined) {
    const commit = hardState?.commit ?? 0;
    if (damaged <= commit) {
      throw new CofferError(
        "corrupt",
        `entry ${damaged} of "${path}" is damaged, and the log is committed up to ${commit}; ` +
          NEXT_STEP,
      );
    }
    const cut = database.prepare("DELETE FROM entries WHERE idx >= ?").run(damaged);
    log.warn("Damaged end of the Raft log was cut off, it was not committed", {
      file: path,
      firstDamagedIndex: damaged,
      droppedEntries: cut.changes,
      commit,
    });
  }
  checkHardState(hardState, { terms, isEmpty: known === undefined && terms.lastIndex === 0 }, path);
  return { hardState, terms, base, lastTag, install };
}

/**
 * Fills `terms`; answers the index of the first damaged, misplaced or missing row, if there is one, and
 * the highest commit index of all rows that are whole: those behind the damage tell that it was
 * committed.
 */
function loadTerms(
  database: Database,
  on: { readonly rows: LogRows; readonly base: ChainBase; readonly terms: TermRuns },
): {
  readonly damaged: number | undefined;
  readonly commit: number;
  readonly lastTag: Uint8Array;
} {
  const { terms } = on;
  let damaged: number | undefined;
  let commit = 0;
  let lastTag = on.base.tag;
  let before = on.base.tag;
  const rows = database.prepare(`SELECT ${ENTRY_COLUMNS} FROM entries ORDER BY idx`);
  for (const row of rows.iterate() as Iterable<EntryRow>) {
    const expected = terms.lastIndex + 1;
    const entry = on.rows.entryOf(row, before);
    if (row.tag instanceof Uint8Array && row.tag.length === TAG_BYTES) before = row.tag;
    if (entry !== undefined) commit = Math.max(commit, row.commit_idx);
    if (damaged !== undefined) continue;
    const lastTerm = terms.term(terms.lastIndex) ?? 0;
    if (entry === undefined || entry.index !== expected || entry.term < lastTerm) {
      damaged = expected;
    } else {
      terms.append(entry.index, entry.term);
      lastTag = row.tag;
    }
  }
  return { damaged, commit, lastTag };
}

/**
 * The file says which root key it was made under, so that a wrong one is told from a forger. Throws
 * `sealed` for another key.
 */
function checkKey(database: Database, rows: LogRows, path: string): void {
  const record = readRecord(database, "key");
  if (record === undefined) {
    const isNew = database.prepare(HAS_ROWS).pluck().get() === 0;
    if (!isNew) throw changedError(path, "records");
    database.prepare("INSERT INTO records VALUES ('key', ?)").run(rows.key());
    return;
  }
  const keyId = rows.keyIdOf(record);
  if (keyId !== rows.keyId) {
    // A start under a wrong key that came no further must not bind the folder to it.
    if (database.prepare(HAS_MORE).pluck().get() === 0) {
      database.prepare("UPDATE records SET record = ? WHERE name = 'key'").run(rows.key());
      return;
    }
    throw new CofferError(
      "sealed",
      `the root key is ${rows.keyId}, but "${path}" was written under ${keyId}: name the file of ` +
        "that key with --root-key-file",
    );
  }
  if (rows.isKey(record)) return;
  throw changedError(path, "records, or the member or cluster that the folder is for,");
}

const HAS_MORE =
  "SELECT EXISTS (SELECT 1 FROM entries) + EXISTS (SELECT 1 FROM records WHERE name <> 'key')";
const HAS_ROWS = "SELECT EXISTS (SELECT 1 FROM entries) + EXISTS (SELECT 1 FROM records)";

/** Throws `corrupt` where the hard state is missing, or older than the entries, or they are cut off. */
function checkHardState(
  hardState: HardState | undefined,
  { terms, isEmpty }: { readonly terms: TermRuns; readonly isEmpty: boolean },
  path: string,
): void {
  if (hardState === undefined) {
    if (isEmpty) return;
    throw changedError(path, "records");
  }
  const lastTerm = terms.term(terms.lastIndex) ?? 0;
  if (hardState.term < lastTerm) {
    throw new CofferError(
      "corrupt",
      `"${path}" has an entry of term ${lastTerm}, but its hard state is of term ` +
        `${hardState.term}: it was put back; ${NEXT_STEP}`,
    );
  }
  if (hardState.commit <= terms.lastIndex) return;
  throw new CofferError(
    "corrupt",
    `"${path}" ends at entry ${terms.lastIndex}, but it is committed up to ${hardState.commit}; ` +
      NEXT_STEP,
  );
}

function loadRecord<T>(
  database: Database,
  name: string,
  read: (record: Uint8Array) => T | undefined,
  path: string,
): T | undefined {
  const record = readRecord(database, name);
  if (record === undefined) return undefined;
  const value = read(record);
  if (value !== undefined) return value;
  throw new CofferError("corrupt", `the ${name} record of "${path}" is damaged; ${NEXT_STEP}`);
}

function readRecord(database: Database, name: string): Uint8Array | undefined {
  const query = database.prepare("SELECT record FROM records WHERE name = ?").pluck();
  const record = query.get(name);
  if (record === undefined || record instanceof Uint8Array) return record;
  return new Uint8Array();
}
