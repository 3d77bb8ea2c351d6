import {
  chmodSync,
  closeSync,
  existsSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  statSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import SqliteDatabase, { type Database, type Statement } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import { assert } from "../stdx/mod.ts";
import type { FsmBackend } from "../core/fsm/mod.ts";
import { createKeyReader } from "./state-keys.ts";
import { createCheckpointer } from "./state-checkpoint.ts";
import { createKeyWrites } from "./state-history.ts";
import { createSnapshotPool } from "./state-snapshots.ts";
import type { FileMac } from "./file-mac.ts";
import { type OpenTables, openGuardedTables } from "./guarded-tables.ts";
import { createLeaseTables } from "./state-leases.ts";
import { prepareSchema } from "./state-schema.ts";
import { stateError, withStateErrors } from "./state-errors.ts";

export interface StateStoreOptions {
  /** The file; `state.db` in the data folder. Folder and file are made if missing. */
  readonly path: string;
  /** Of the cluster's state: a file that was written with another is refused. */
  readonly mac: FileMac;
  /** SQLite's page cache of the writing connection. 16 MiB unless given. */
  readonly cacheBytes?: number;
  /** The write-ahead log is copied back each time it grows by this much. 16 MiB unless given. */
  readonly walBytes?: number;
  /**
   * "each" transaction by itself, or "later": several together, at `flush`. What a crash takes is
   * replayed from the Raft log either way; later writes a page that many changes touch only once.
   * "each" unless given.
   */
  readonly commit?: "each" | "later";
  /** Above this the file takes no more: `no-space`. Unbounded unless given. */
  readonly fileBytesMax?: number;
  /** The time that each commit took. */
  readonly onCommit?: (seconds: number) => void;
}

export interface StateSize {
  /** Bytes of the file, without its write-ahead log. */
  readonly total: number;
  /** Bytes of it that hold data. */
  readonly inUse: number;
}

/** state.db: the applied state of this member (design.md section 5). */
export interface StateStore extends FsmBackend {
  readonly path: string;
  readonly mac: FileMac;
  size(): StateSize;
  /** Snapshots that are open now. */
  openSnapshots(): number;
  /**
   * Makes all that was committed durable and copies the write-ahead log back as far as open snapshots
   * allow. Returns the applied index that a crash can no longer take back.
   */
  checkpoint(): number;
  /**
   * Makes all that was committed durable, off the event loop, and copies nothing. Answers the applied
   * index that a crash can no longer take back. Rejects as opening does.
   */
  sync(): Promise<number>;
  /** A thread copies the write-ahead log back: writes that can wait had better. */
  isCopying(): boolean;
  /**
   * Closes the file, has `swap` put another one at its path, and opens that; the object stays the
   * same. Open snapshots, and what is not flushed, are lost: reading them throws `state-replaced`.
   * If it throws, the store is closed for good.
   */
  replaceFile(swap: () => void): void;
  close(): void;
}

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;
const WAL_BYTES = 16 * MIB;

/** How much longer than `walBytes` the log may get before commits themselves copy it back. */
const WAL_LIMIT_FACTOR = 8;

/** Unused pages are given back only while they are more than this share of the file. */
const FREE_SHARE_KEPT = 1 / 8;
/** And more than this many. */
const FREE_PAGES_KEPT = 1024;

/** How long a checkpoint waits for the thread that copies, in steps of a millisecond. */
const COPY_WAIT_MS = 5000;

/**
 * Opens the state, or makes it. The time it takes depends on the number of tenants and their policies,
 * and not on that of keys. Throws `storage-failed` (no permission, another schema, another program's file,
 * locked), `corrupt` (damaged, not a database, changed by a stranger) or `no-space`.
 */
export function openStateStore(options: StateStoreOptions): StateStore {
  assert(!existsSync(`${options.path}.next`), "An install was not completed before the opening");
  const file = openStateFile(options);
  const store: StateFile & StateStore = {
    ...file,
    replaceFile(swap) {
      if (!store.close()) {
        throw new CofferError("storage-failed", `a thread does not close "${options.path}"`);
      }
      swap();
      // All methods at once: whoever holds the store calls those of the new file from here on.
      Object.assign(store, openStateFile(options));
    },
  };
  return store;
}

/** The store as far as it lives with one file. */
interface StateFile extends Omit<StateStore, "replaceFile" | "close"> {
  /** False if the thread that copies the log back still has the file open. */
  close(): boolean;
}

function openStateFile(options: StateStoreOptions): StateFile {
  return withStateErrors(options.path, () => {
    prepareFile(options.path);
    const database = new SqliteDatabase(options.path);
    try {
      configure(database, options);
      prepareSchema(database, options.path, options.mac);
      return createStore(database, options);
    } catch (failure) {
      database.close();
      throw failure;
    }
  });
}

/** SQLite gives its -wal and -shm files the mode of the database file. */
function prepareFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (!existsSync(path)) closeSync(openSync(path, "a", 0o600));
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
}

function configure(database: Database, options: StateStoreOptions): void {
  const walBytes = options.walBytes ?? WAL_BYTES;
  const cacheKib = Math.ceil((options.cacheBytes ?? 16 * MIB) / 1024);
  // Takes effect in an empty file only, and only before the log mode writes the first page.
  database.pragma("auto_vacuum = INCREMENTAL");
  database.pragma("journal_mode = WAL");
  // What a crash takes is replayed from the Raft log, so commits need no fsync.
  database.pragma("synchronous = NORMAL");
  database.pragma("secure_delete = ON");
  database.pragma("temp_store = MEMORY");
  database.pragma(`cache_size = -${cacheKib}`);
  // The checkpointer's thread comes long before; this bounds the log if the thread is gone.
  database.pragma(`wal_autocheckpoint = ${Math.ceil((walBytes * WAL_LIMIT_FACTOR) / PAGE_BYTES)}`);
  database.pragma(`journal_size_limit = ${walBytes * 2}`);
  if (options.fileBytesMax !== undefined) {
    database.pragma(`max_page_count = ${Math.floor(options.fileBytesMax / PAGE_BYTES)}`);
  }
}

function createStore(database: Database, options: StateStoreOptions): StateFile {
  const { path, walBytes = WAL_BYTES } = options;
  const checkpointer = createCheckpointer(database, { path, walBytes, pageBytes: PAGE_BYTES });
  const writes = createKeyWrites(database);
  const guarded = openGuardedTables(database, options.mac, path);
  const { tables } = guarded;
  const cleaned = createCleaned(database);
  let hasRemoved = false;
  const transactions = createTransaction(database, options, {
    begun: () => writes.begin(),
    committing: () => guarded.seal(),
    committed() {
      guarded.committed();
      checkpointer.committed(hasRemoved);
      hasRemoved = false;
    },
    rolledBack: () => guarded.rolledBack(),
  });
  const snapshots = createSnapshotPool(path, guarded);
  return {
    path,
    mac: options.mac,
    ...transactions,
    ...createKeyReader(database),
    ...writes,
    ...createLeaseTables(database),
    ...tables,
    cleanRevision: cleaned.cleanRevision,
    setCleanRevision(slot, revision) {
      hasRemoved = true;
      cleaned.setCleanRevision(slot, revision);
    },
    ...createSpace(database, {
      transaction: transactions.transaction,
      onRemoval: () => (hasRemoved = true),
      purgeRecords: (slot, rows) => guarded.purgeRecords(slot, rows),
    }),
    snapshot: snapshots.take,
    openSnapshots: snapshots.open,
    checkpoint() {
      return withStateErrors(path, () => {
        assert(!database.inTransaction, "Checkpoint before the state was flushed");
        const index = tables.appliedIndex();
        copyBack(database);
        syncWal(path);
        return index;
      });
    },
    async sync() {
      assert(!database.inTransaction, "Sync before the state was flushed");
      const index = tables.appliedIndex();
      await syncWalLater(path);
      return index;
    },
    isCopying: () => checkpointer.isCopying(),
    close() {
      // What is not flushed is in the Raft log.
      if (database.open && database.inTransaction) database.exec("ROLLBACK");
      const isEnded = checkpointer.close();
      snapshots.close();
      if (database.open) database.close();
      return isEnded;
    },
  };
}

/**
 * A snapshot may keep part of the log from being copied back, and SQLite syncs only what it copies; so
 * the log itself is synced. SQLite takes its locks on the other two files, so that closing this
 * descriptor drops none.
 */
function syncWal(path: string): void {
  const descriptor = openSync(`${path}-wal`, "r+");
  try {
    fdatasyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

async function syncWalLater(path: string): Promise<void> {
  try {
    const file = await open(`${path}-wal`, "r+");
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (failure) {
    throw stateError(path, failure);
  }
}

function createTransaction(
  database: Database,
  { path, commit: when = "each", onCommit }: StateStoreOptions,
  on: {
    readonly begun: () => void;
    readonly committing: () => void;
    readonly committed: () => void;
    readonly rolledBack: () => void;
  },
): Pick<FsmBackend, "transaction" | "flush"> {
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");
  let isBegun = false;
  const end = (): void => {
    const start = performance.now();
    on.committing();
    commit.run();
    isBegun = false;
    on.committed();
    onCommit?.((performance.now() - start) / 1000);
  };
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (failure) {
      // SQLite has already rolled back after some failures, such as a full disk.
      if (database.inTransaction) rollback.run();
      isBegun = false;
      on.rolledBack();
      throw stateError(path, failure);
    }
  };
  /**
   * SQLite takes a transaction back when a read within it fails, on a full or bad disk, and goes on without.
   * `no-space`, so that what was lost is applied again from the log, which fails for good on a bad disk.
   */
  const checkBegun = (): void => {
    if (!isBegun || database.inTransaction) return;
    throw new CofferError(
      "no-space",
      `reading "${path}" failed, and what was not committed was lost with it: free some room, or ` +
        "check the disk",
    );
  };
  return {
    transaction: (work) =>
      guarded(() => {
        checkBegun();
        if (!database.inTransaction) begin.run();
        isBegun = true;
        on.begun();
        const result = work();
        if (when === "each") end();
        return result;
      }),
    flush() {
      if (!isBegun) return;
      guarded(() => {
        checkBegun();
        end();
      });
    },
  };
}

/** How far the removal of compacted history has come: a matter of this file alone. */
function createCleaned(database: Database): Pick<FsmBackend, "cleanRevision" | "setCleanRevision"> {
  const read = database
    .prepare<unknown[], [number]>("SELECT revision FROM cleaned WHERE slot = ?")
    .raw();
  const write = database.prepare("INSERT OR REPLACE INTO cleaned VALUES (?, ?)");
  return {
    cleanRevision: (slot) => read.get(slot)?.[0] ?? 0,
    setCleanRevision(slot, revision) {
      write.run(slot, revision);
    },
  };
}

function createSpace(
  database: Database,
  by: {
    readonly transaction: FsmBackend["transaction"];
    readonly onRemoval: () => void;
    readonly purgeRecords: OpenTables["purgeRecords"];
  },
): Pick<StateStore, "purge" | "vacuum" | "size"> {
  const purgeOf = (table: string): Statement<[number, number]> =>
    database.prepare(`DELETE FROM ${table} WHERE slot = ? LIMIT ?`);
  const purgeCurrent = purgeOf("current");
  const purgeLeases = purgeOf("lease");
  // Every value has its history row, so that the values go with the history.
  const purgeHistory = database
    .prepare<unknown[], [number | null]>(
      "DELETE FROM history WHERE slot = ? RETURNING sealed_id LIMIT ?",
    )
    .raw();
  const purgeSealed = database.prepare("DELETE FROM sealed WHERE id = ?");
  const number = (sql: string): (() => number) => {
    const statement = database.prepare<[], [number]>(sql).raw();
    return () => statement.get()?.[0] ?? 0;
  };
  const pageCount = number("PRAGMA page_count");
  const freeCount = number("PRAGMA freelist_count");
  const vacuumPage = database.prepare("PRAGMA incremental_vacuum(1)");
  return {
    purge(slot, rows) {
      by.onRemoval();
      // The large ones first: a look at an empty one costs as much as some rows.
      let left = rows - purgeCurrent.run(slot, rows).changes;
      if (left > 0) {
        const removed = purgeHistory.all(slot, left);
        for (const [id] of removed) if (id !== null) purgeSealed.run(id);
        left -= removed.length;
      }
      if (left > 0) left -= purgeLeases.run(slot, left).changes;
      if (left > 0) left -= by.purgeRecords(slot, left);
      return rows - left;
    },
    vacuum(pages) {
      const free = freeCount();
      if (free <= Math.max(pageCount() * FREE_SHARE_KEPT, FREE_PAGES_KEPT)) return false;
      return by.transaction(() => {
        by.onRemoval();
        for (let page = 0; page < pages; page++) vacuumPage.run();
        // A file made without the vacuum mode gives nothing back, ever.
        return freeCount() < free;
      });
    },
    size() {
      const pages = pageCount();
      return { total: pages * PAGE_BYTES, inUse: (pages - freeCount()) * PAGE_BYTES };
    },
  };
}

/** While the thread copies, nobody else may: then it is waited for, as it would leave what came since. */
function copyBack(database: Database): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; waited < COPY_WAIT_MS; waited++) {
    const [result] = database.pragma("wal_checkpoint(PASSIVE)") as { readonly busy: number }[];
    if (result?.busy !== 1) return;
    Atomics.wait(pause, 0, 0, 1);
  }
}
