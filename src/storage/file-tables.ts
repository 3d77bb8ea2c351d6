import SqliteDatabase, { type Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import { changedError } from "./file-mac.ts";

/** What a file of this build must be made of. */

/** The error of a file of another build's form. */
export function otherVersionError(
  path: string,
  { found, known }: { readonly found: number; readonly known: number },
): CofferError {
  const next =
    found > known ? "a later one" : "start afresh: coffer dev --reset, or another --data-dir";
  return new CofferError(
    "storage-failed",
    `"${path}" has schema version ${found}, this build of Coffer knows version ${known}; run the ` +
      `version that wrote it, or ${next}`,
  );
}

/**
 * Throws `corrupt` unless the file has the tables of `schema` and nothing else: a trigger or a view that
 * somebody added would be run by whoever opens the file.
 */
export function checkTables(database: Database, schema: string, path: string): void {
  const model = new SqliteDatabase(":memory:");
  try {
    model.exec(schema);
    if (tablesOf(database) === tablesOf(model)) return;
  } finally {
    model.close();
  }
  throw changedError(path, "the tables");
}

function tablesOf(database: Database): string {
  const rows = database
    .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    .raw()
    .all();
  return JSON.stringify(rows);
}
