import { performance } from "node:perf_hooks";
import type { Database, Statement } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import { type Entry, type HardState, NO_MEMBER } from "../core/raft/mod.ts";
import { assert } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { closeRaftLogFile, openRaftLogFile } from "./raft-log-file.ts";
import { loadRaftLog } from "./raft-log-load.ts";
import type { FileMac } from "./file-mac.ts";
import {
  type ChainBase,
  ENTRY_COLUMNS,
  type EntryRow,
  type LogBase,
  LogRows,
  NO_TAG,
} from "./raft-log-rows.ts";
import type { TermRuns } from "./raft-log-terms.ts";
import { withStateErrors } from "./state-errors.ts";

export interface RaftLogOptions {
  /** The file; `raft.db` in the data folder. Folder and file are made if missing. */
  readonly path: string;
  /** Of this member's log: one that was written with another is refused. */
  readonly mac: FileMac;
  readonly log: Logger;
  /** The time that each save's commit, its write and fsync, took. */
  readonly onFsync?: (seconds: number) => void;
}

/** raft.db: the durable log of this member (design.md section 5). */
export interface RaftLog {
  /** Term 0, no vote, commit 0 in a fresh log. */
  readonly hardState: HardState;
  /** The index of the oldest entry kept; 1 in a fresh log. */
  readonly firstIndex: number;
  /** `firstIndex - 1` if no entry is kept. */
  readonly lastIndex: number;
  /** The last entry that compaction or a snapshot took the place of; index and term 0 at first. */
  readonly snapshot: LogBase;
  /** Known from `firstIndex - 1` to `lastIndex`. */
  term(index: number): number | undefined;
  /**
   * The entries from `lo` up to but without `hi`, as many as fit in `bytesMax` bytes of data, at least
   * one. Throws `corrupt` for a damaged row.
   */
  entries(lo: number, hi: number, bytesMax: number): readonly Entry[];
  /**
   * Saves in one transaction that is on the disk when it returns; what is saved at or after the first
   * entry's index is replaced. A hard state that only moves `commit` waits for the next save: losing
   * it costs nothing (Raft §5: commitIndex is volatile). Throws `no-space` or `storage-failed`;
   * nothing is saved then.
   */
  save(batch: {
    readonly hardState?: HardState | undefined;
    readonly entries: readonly Entry[];
  }): void;
  /**
   * Notes that the state of `base` is about to take the place of all entries, until `reset` does it. A
   * start that finds such a state beside the log goes on with no other.
   */
  noteInstall(base: LogBase): void;
  readonly install: LogBase | undefined;
  /** Forgets the entries up to `index`, which stays the base that terms are known from. */
  compact(index: number): void;
  /**
   * Forgets all entries: a snapshot as of `base`, which is not below the commit index, takes their
   * place. The hard state's commit and term are raised to the base's, as a crash may come before the
   * next save.
   */
  reset(base: LogBase): void;
  close(): void;
}

/**
 * Compacted entries that one save removes on its way, in its own transaction: more than it usually
 * adds, so that the file does not grow, and few enough not to be felt.
 */
const REMOVED_PER_SAVE = 8;

/**
 * Opens the log, or makes it, and holds it alone until `close` or the end of the process. A torn end
 * is dropped with a log line. Throws `storage-failed` (in use, no permission, newer schema), `corrupt`
 * (damage at or below the commit index, written by a stranger), `sealed` (another root key) or `no-space`.
 */
export function openRaftLog(options: RaftLogOptions): RaftLog {
  return withStateErrors(options.path, () => {
    const database = openRaftLogFile(options.path, options.log);
    try {
      return new SqliteRaftLog(database, options);
    } catch (failure) {
      database.close();
      throw failure;
    }
  });
}

class SqliteRaftLog implements RaftLog {
  readonly #path: string;
  readonly #database: Database;
  readonly #rows: LogRows;
  readonly #onFsync: (seconds: number) => void;
  readonly #statements: Statements;
  readonly #terms: TermRuns;
  #hardState: HardState;
  #base: ChainBase;
  /** Of the last entry, or of the base. */
  #lastTag: Uint8Array;
  #install: LogBase | undefined;
  #hasHardState: boolean;
  /** The rows up to here are gone from the file; at most the base's index. */
  #removedUpTo: number;
  /** What the file holds: `#hardState` but for a commit that waits for the next save. */
  #savedHardState: HardState;

  constructor(database: Database, options: RaftLogOptions) {
    this.#path = options.path;
    this.#database = database;
    this.#onFsync = options.onFsync ?? (() => undefined);
    this.#rows = new LogRows(options.mac);
    const loaded = loadRaftLog(database, this.#rows, options);
    this.#terms = loaded.terms;
    this.#base = loaded.base;
    this.#lastTag = loaded.lastTag;
    this.#install = loaded.install;
    this.#hasHardState = loaded.hardState !== undefined;
    this.#savedHardState = loaded.hardState ?? { term: 0, vote: NO_MEMBER, commit: 0 };
    this.#hardState = this.#savedHardState;
    this.#removedUpTo = loaded.terms.base.index;
    this.#statements = prepareStatements(database);
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get firstIndex(): number {
    return this.#terms.base.index + 1;
  }

  get lastIndex(): number {
    return this.#terms.lastIndex;
  }

  get snapshot(): LogBase {
    return this.#terms.base;
  }

  get install(): LogBase | undefined {
    return this.#install;
  }

  term(index: number): number | undefined {
    return this.#terms.term(index);
  }

  entries(lo: number, hi: number, bytesMax: number): readonly Entry[] {
    assert(lo >= this.firstIndex && hi <= this.lastIndex + 1, "Entries outside the log were read");
    return withStateErrors(this.#path, () => {
      const entries: Entry[] = [];
      let bytes = 0;
      let before = this.#tagAt(lo - 1);
      for (const row of this.#statements.read.iterate(lo, hi) as Iterable<EntryRow>) {
        const entry = this.#rows.entryOf(row, before);
        before = row.tag;
        if (entry === undefined || entry.index !== lo + entries.length) {
          throw damagedEntry(this.#path, lo + entries.length);
        }
        bytes += entry.data.length;
        if (entries.length > 0 && bytes > bytesMax) break;
        entries.push(entry);
      }
      assert(entries.length > 0 || lo >= hi, "Raft log lost an entry");
      return entries;
    });
  }

  save(batch: {
    readonly hardState?: HardState | undefined;
    readonly entries: readonly Entry[];
  }): void {
    const { hardState, entries } = batch;
    const next = hardState ?? this.#hardState;
    const { term, vote } = this.#savedHardState;
    if (entries.length === 0 && next.term === term && next.vote === vote) {
      this.#hardState = next;
      return;
    }
    this.#checkEntries(entries);
    const removable = Math.min(this.#removedUpTo + REMOVED_PER_SAVE, this.#terms.base.index);
    let lastTag = this.#lastTag;
    this.#transact(() => {
      if (removable > this.#removedUpTo) this.#statements.removeUpTo.run(removable);
      lastTag = this.#write(next, entries);
    });
    this.#lastTag = lastTag;
    this.#hasHardState = true;
    this.#removedUpTo = removable;
    for (const entry of entries) this.#terms.append(entry.index, entry.term);
    this.#hardState = next;
    this.#savedHardState = next;
  }

  compact(index: number): void {
    if (index < this.firstIndex) return;
    const term = this.#terms.term(index);
    assert(term !== undefined, "Log is compacted past its end");
    // Only the base moves now. Later saves, or the next open, remove the rows below it.
    const base = { index, term, tag: this.#tagAt(index) };
    this.#transact(() => {
      this.#putRecord("base", this.#rows.base(base));
      // The rows that go may be all that hold it.
      this.#putHardState(this.#hardState);
    });
    this.#base = base;
    this.#hasHardState = true;
    this.#savedHardState = this.#hardState;
    this.#terms.compact({ index, term });
  }

  noteInstall(base: LogBase): void {
    this.#transact(() => this.#putRecord("install", this.#rows.install(base)));
    this.#install = base;
  }

  reset(base: LogBase): void {
    const { term, vote, commit } = this.#hardState;
    assert(commit <= base.index, "A snapshot must not undo what is committed");
    const hardState: HardState = {
      term: Math.max(term, base.term),
      // A vote counts for the term that it was cast in.
      vote: term < base.term ? NO_MEMBER : vote,
      commit: base.index,
    };
    const chainBase = { ...base, tag: NO_TAG };
    this.#transact(() => {
      this.#statements.removeAll.run();
      this.#statements.removeRecord.run("install");
      this.#putRecord("base", this.#rows.base(chainBase));
      this.#putHardState(hardState);
    });
    this.#base = chainBase;
    this.#lastTag = NO_TAG;
    this.#install = undefined;
    this.#hasHardState = true;
    this.#terms.reset(base);
    this.#removedUpTo = base.index;
    this.#hardState = hardState;
    this.#savedHardState = hardState;
  }

  close(): void {
    if (!this.#database.open) return;
    withStateErrors(this.#path, () => {
      if (this.#hardState !== this.#savedHardState) {
        this.#transact(() => this.#putHardState(this.#hardState));
        this.#savedHardState = this.#hardState;
      }
      closeRaftLogFile(this.#database, this.#path);
    });
  }

  /** Answers the tag of the last entry then. */
  #write(hardState: HardState, entries: readonly Entry[]): Uint8Array {
    const { insert, removeFrom } = this.#statements;
    const first = entries[0];
    let before = this.#lastTag;
    if (first !== undefined && first.index <= this.lastIndex) {
      before = this.#tagAt(first.index - 1);
      removeFrom.run(first.index);
    }
    for (const entry of entries) {
      const row = this.#rows.entryRow(entry, hardState.commit, before);
      insert.run(row.idx, row.term, row.kind, row.data, row.commit_idx, row.tag);
      before = row.tag;
    }
    // A commit that moves by itself is in the rows: one page less to write.
    const { term, vote } = this.#savedHardState;
    const isMoved = hardState.term !== term || hardState.vote !== vote;
    if (isMoved || !this.#hasHardState) this.#putHardState(hardState);
    return before;
  }

  #tagAt(index: number): Uint8Array {
    if (index === this.#base.index) return this.#base.tag;
    if (index === this.lastIndex) return this.#lastTag;
    const tag = this.#statements.readTag.get(index);
    if (tag instanceof Uint8Array) return tag;
    throw damagedEntry(this.#path, index);
  }

  #putHardState(hardState: HardState): void {
    this.#putRecord("hard-state", this.#rows.hardState(hardState));
  }

  #putRecord(name: string, record: Uint8Array): void {
    this.#statements.putRecord.run(name, record);
  }

  #checkEntries(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index >= this.firstIndex, "Entries are saved below the log's first index");
    assert(first.index <= this.lastIndex + 1, "Entries are saved with a gap before them");
    let before = this.#terms.term(first.index - 1) ?? 0;
    for (const [at, { index, term }] of entries.entries()) {
      assert(index === first.index + at, "Entries are saved with a gap among them");
      assert(term >= before, "Entries are saved with a term that goes back");
      before = term;
    }
  }

  /** Runs `work` in one transaction, all or nothing, and reports how long its commit took. */
  #transact(work: () => void): void {
    withStateErrors(this.#path, () => {
      const { begin, commit, rollback } = this.#statements;
      begin.run();
      let start = 0;
      try {
        work();
        start = performance.now();
        commit.run();
      } catch (failure) {
        if (this.#database.inTransaction) rollback.run();
        throw failure;
      }
      this.#onFsync((performance.now() - start) / 1000);
    });
  }
}

interface Statements {
  readonly begin: Statement;
  readonly commit: Statement;
  readonly rollback: Statement;
  readonly insert: Statement;
  readonly read: Statement;
  readonly removeAll: Statement;
  readonly removeFrom: Statement;
  readonly removeUpTo: Statement;
  readonly putRecord: Statement;
  readonly removeRecord: Statement;
  readonly readTag: Statement;
}

function prepareStatements(database: Database): Statements {
  return {
    begin: database.prepare("BEGIN IMMEDIATE"),
    commit: database.prepare("COMMIT"),
    rollback: database.prepare("ROLLBACK"),
    insert: database.prepare(`INSERT INTO entries (${ENTRY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`),
    read: database.prepare(
      `SELECT ${ENTRY_COLUMNS} FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx`,
    ),
    // Without a condition SQLite frees the pages without reading the rows.
    removeAll: database.prepare("DELETE FROM entries"),
    removeFrom: database.prepare("DELETE FROM entries WHERE idx >= ?"),
    removeUpTo: database.prepare("DELETE FROM entries WHERE idx <= ?"),
    removeRecord: database.prepare("DELETE FROM records WHERE name = ?"),
    readTag: database.prepare("SELECT tag FROM entries WHERE idx = ?").pluck(),
    putRecord: database.prepare("INSERT OR REPLACE INTO records (name, record) VALUES (?, ?)"),
  };
}

function damagedEntry(path: string, index: number): CofferError {
  return new CofferError(
    "corrupt",
    `entry ${index} of "${path}" is damaged; restore this member from a snapshot or remove its ` +
      "data folder and let it join again",
  );
}
