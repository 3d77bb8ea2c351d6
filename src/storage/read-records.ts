import SqliteDatabase from "better-sqlite3";
import type { RecordTable, StoredRecord } from "../core/types/mod.ts";
import { withStateErrors } from "./state-errors.ts";

/**
 * The records of a table in all scopes, from a state.db that another process may be serving. Throws
 * `storage-failed` or `corrupt`.
 */
export function readRecords(path: string, table: RecordTable): readonly StoredRecord[] {
  return withStateErrors(path, () => {
    const database = new SqliteDatabase(path, { readonly: true, fileMustExist: true });
    try {
      return database
        .prepare<unknown[], StoredRecord>("SELECT id, data FROM record WHERE kind = ? ORDER BY id")
        .all(table);
    } finally {
      database.close();
    }
  });
}
