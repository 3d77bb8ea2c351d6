import type { Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import type { HardState } from "../core/raft/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  ENTRY_COLUMNS,
  type EntryRow,
  type LogBase,
  baseOfRecord,
  entryOfRow,
  hardStateOfRecord,
} from "./raft-log-rows.ts";
import { TermRuns } from "./raft-log-terms.ts";

export interface LoadedLog {
  readonly hardState: HardState | undefined;
  readonly terms: TermRuns;
}

const FRESH_BASE: LogBase = { index: 0, term: 0 };

const NEXT_STEP =
  "restore this member from a snapshot or remove its data folder and let it join again";

/**
 * Reads and checks every row. Damage above the commit index is cut off with a log line: those entries
 * may be lost. Damage at or below it is an error: they must not be.
 */
export function loadRaftLog(database: Database, path: string, log: Logger): LoadedLog {
  const saved = loadRecord(database, "hard-state", hardStateOfRecord, path);
  const base = loadRecord(database, "base", baseOfRecord, path) ?? FRESH_BASE;
  // A crash in the middle of compaction leaves rows below the base.
  database.prepare("DELETE FROM entries WHERE idx <= ?").run(base.index);
  const terms = new TermRuns(base);
  const { damaged, commit: rowsCommit } = loadTerms(database, terms);
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
  checkCommit(hardState, terms, path);
  return { hardState, terms };
}

/**
 * Fills `terms`; answers the index of the first damaged, misplaced or missing row, if there is one, and
 * the highest commit index of all rows that are whole: those behind the damage tell that it was
 * committed.
 */
function loadTerms(
  database: Database,
  terms: TermRuns,
): { readonly damaged: number | undefined; readonly commit: number } {
  let damaged: number | undefined;
  let commit = 0;
  const rows = database.prepare(`SELECT ${ENTRY_COLUMNS} FROM entries ORDER BY idx`);
  for (const row of rows.iterate() as Iterable<EntryRow>) {
    const expected = terms.lastIndex + 1;
    const entry = entryOfRow(row);
    if (entry !== undefined) commit = Math.max(commit, row.commit_idx);
    if (damaged !== undefined) continue;
    const lastTerm = terms.term(terms.lastIndex) ?? 0;
    if (entry === undefined || entry.index !== expected || entry.term < lastTerm) {
      damaged = expected;
    } else {
      terms.append(entry.index, entry.term);
    }
  }
  return { damaged, commit };
}

function checkCommit(hardState: HardState | undefined, terms: TermRuns, path: string): void {
  if (hardState === undefined || hardState.commit <= terms.lastIndex) return;
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
  const query = database.prepare("SELECT record FROM records WHERE name = ?").pluck();
  const record = query.get(name);
  if (record === undefined) return undefined;
  const value = record instanceof Uint8Array ? read(record) : undefined;
  if (value !== undefined) return value;
  throw new CofferError("corrupt", `the ${name} record of "${path}" is damaged; ${NEXT_STEP}`);
}
