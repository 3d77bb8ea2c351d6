import SqliteDatabase, { type Database } from "better-sqlite3";
import type { BackendSnapshot } from "../core/fsm/mod.ts";
import { CofferError } from "../errors.ts";
import type { OpenTables } from "./guarded-tables.ts";
import { createScopeReader } from "./scope-rows.ts";
import { withStateErrors } from "./state-errors.ts";
import { createKeyReader } from "./state-keys.ts";

/** Frozen views of state.db, for reads that span several turns of the event loop. */

/** Snapshot connections kept for the next snapshot, with their statements. */
const SNAPSHOTS_KEPT = 2;

/** The cache of each snapshot connection, in KiB, as SQLite's negative cache_size. */
const SNAPSHOT_CACHE_KIB = 2048;

export interface SnapshotPool {
  take(): BackendSnapshot;
  open(): number;
  close(): void;
}

/** A connection of its own per open snapshot: its read transaction keeps the moment. */
export function createSnapshotPool(path: string, tables: Pick<OpenTables, "slotOf">): SnapshotPool {
  const idle: SnapshotConnection[] = [];
  const busy = new Set<SnapshotConnection>();
  const release = (connection: SnapshotConnection): void => {
    if (!busy.delete(connection)) return;
    connection.end();
    if (idle.length < SNAPSHOTS_KEPT) idle.push(connection);
    else connection.database.close();
  };
  return {
    take() {
      return withStateErrors(path, () => {
        const connection = idle.pop() ?? openSnapshotConnection(path, tables);
        busy.add(connection);
        connection.begin();
        return { ...connection.reader, close: () => release(connection) };
      });
    },
    open: () => busy.size,
    close() {
      for (const connection of [...idle, ...busy]) connection.database.close();
      idle.length = 0;
      busy.clear();
    },
  };
}

interface SnapshotConnection {
  readonly database: Database;
  readonly reader: Omit<BackendSnapshot, "close">;
  begin(): void;
  end(): void;
}

function openSnapshotConnection(
  path: string,
  { slotOf }: Pick<OpenTables, "slotOf">,
): SnapshotConnection {
  const database = new SqliteDatabase(path, { readonly: true });
  database.pragma(`cache_size = -${SNAPSHOT_CACHE_KIB}`);
  const begin = database.prepare("BEGIN");
  // BEGIN alone takes no read mark; the first read does.
  const touch = database.prepare("SELECT value FROM meta WHERE name = 'applied_index'");
  const end = database.prepare("ROLLBACK");
  const readScope = createScopeReader(database);
  return {
    database,
    reader: whileOpen(database, {
      ...createKeyReader(database),
      scope(id) {
        const slot = slotOf(id);
        return slot === undefined ? undefined : readScope(id, slot);
      },
    }),
    begin() {
      begin.run();
      touch.get();
    },
    end() {
      if (database.inTransaction) end.run();
    },
  };
}

/** Its reads throw `state-replaced` once the connection was closed under them. */
function whileOpen(database: Database, reader: SnapshotConnection["reader"]): typeof reader {
  const guarded =
    <Given extends unknown[], Read>(read: (...given: Given) => Read) =>
    (...given: Given): Read => {
      if (!database.open) throw new CofferError("state-replaced");
      return read(...given);
    };
  return {
    get: guarded(reader.get),
    scan: guarded(reader.scan),
    count: guarded(reader.count),
    getAt: guarded(reader.getAt),
    scanAt: guarded(reader.scanAt),
    countAt: guarded(reader.countAt),
    netCreated: guarded(reader.netCreated),
    scope: guarded(reader.scope),
  };
}
