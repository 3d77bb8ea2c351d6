import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import SqliteDatabase, { type Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import { checkTables, otherVersionError } from "./file-tables.ts";
import { type WalTail, inspectWalTail } from "./raft-log-wal.ts";

/** "Coff" in ASCII, and the version of the tables: another program's file is refused. */
const APPLICATION_ID = 0x436f6666;
const SCHEMA_VERSION = 3;

/** The write-ahead log is copied back into the file each time it has grown by this much. */
const CHECKPOINT_PAGES = 1024;

/**
 * Each row of `entries` holds the commit index too, so that a save that moves nothing else of the hard
 * state writes one page and not two.
 */
const TABLES = `
  CREATE TABLE entries (
    idx INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    data BLOB NOT NULL,
    commit_idx INTEGER NOT NULL,
    tag BLOB NOT NULL
  );
  CREATE TABLE records (name TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
`;
const NEW_FILE = `${TABLES}
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens raft.db alone: SQLite's EXCLUSIVE locking mode takes a lock that the system lets go of when
 * the process ends, however it ends. Beside it lies a file with the owner's process id, which only
 * serves the message that the next one to come gets.
 */
export function openRaftLogFile(path: string, log: Logger): Database {
  // Before SQLite opens the file: it copies the log back and removes it even if it is closed at once.
  const tail = checkTail(path);
  prepareFile(path);
  const database = new SqliteDatabase(path, { timeout: 0 });
  try {
    database.pragma("locking_mode = EXCLUSIVE");
    takeLock(database, path);
    database.pragma("synchronous = FULL");
    database.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    dropTail(database, path, { tail, log });
    prepareSchema(database, path);
    return database;
  } catch (failure) {
    database.close();
    throw failure;
  }
}

/** Closes the file, which copies the write-ahead log back and lets go of the lock. */
export function closeRaftLogFile(database: Database, path: string): void {
  rmSync(pidPath(path), { force: true });
  database.close();
}

function prepareFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // Opened here only to make it: closing it later would drop this process's locks (POSIX fcntl).
  if (!existsSync(path)) closeSync(openSync(path, "a", 0o600));
  for (const file of [path, `${path}-wal`]) if (existsSync(file)) chmodSync(file, 0o600);
}

function takeLock(database: Database, path: string): void {
  try {
    database.pragma("journal_mode = WAL");
    // Appended at its end and hardly ever read: a larger cache would only take memory.
    database.pragma("cache_size = -1024");
    // In this mode the lock that the first transaction takes is kept until the file is closed.
    database.exec("BEGIN IMMEDIATE; COMMIT");
  } catch (failure) {
    const { code } = failure as { readonly code?: string };
    if (code === undefined || !/^SQLITE_(BUSY|LOCKED)/.test(code)) throw failure;
    throw new CofferError(
      "storage-failed",
      `the data folder "${dirname(path)}" is in use by ${ownerOf(path)}, stop it first or give ` +
        "this member a folder of its own",
      { cause: failure },
    );
  }
  writeFileSync(pidPath(path), `${process.pid}\n`, { mode: 0o600 });
}

function ownerOf(path: string): string {
  try {
    const pid = readFileSync(pidPath(path), "utf8").trim();
    if (/^\d+$/.test(pid)) return `process ${pid}`;
  } catch {
    // The owner is known only by its lock.
  }
  return "another process";
}

function pidPath(path: string): string {
  return `${path}.pid`;
}

/** The end of the write-ahead log that is torn; an error if it cannot be one torn write. */
function checkTail(path: string): WalTail {
  const tail = inspectWalTail(`${path}-wal`);
  if (tail.commits <= 1) return tail;
  throw new CofferError(
    "corrupt",
    `"${path}-wal" is damaged, and ${tail.commits} saves from the damage on cannot be read, some ` +
      "of them acknowledged; restore this member from a snapshot or remove its data folder and " +
      "let it join again",
  );
}

/** Says what SQLite dropped, and begins a new write-ahead log that nothing old lies behind. */
function dropTail(
  database: Database,
  path: string,
  { tail, log }: { readonly tail: WalTail; readonly log: Logger },
): void {
  database.pragma("wal_checkpoint(TRUNCATE)");
  if (tail.bytes === 0) return;
  log.warn("Torn end of the Raft log was dropped, only an unacknowledged save can be in it", {
    file: `${path}-wal`,
    droppedBytes: tail.bytes,
    droppedSaves: tail.commits,
  });
}

function prepareSchema(database: Database, path: string): void {
  const version = Number(database.pragma("user_version", { simple: true }));
  const owner = Number(database.pragma("application_id", { simple: true }));
  const tables = database.prepare("SELECT count(*) FROM sqlite_schema").pluck().get();
  if (version === 0 && owner === 0 && tables === 0) {
    database.exec(`BEGIN IMMEDIATE; ${NEW_FILE} COMMIT`);
    return;
  }
  if (owner !== APPLICATION_ID) {
    throw new CofferError("corrupt", `"${path}" is not a Raft log of Coffer, move it away`);
  }
  if (version !== SCHEMA_VERSION) {
    throw otherVersionError(path, { found: version, known: SCHEMA_VERSION });
  }
  checkTables(database, TABLES, path);
}
