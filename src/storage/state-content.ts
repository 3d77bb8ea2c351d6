import SqliteDatabase, { type Database } from "better-sqlite3";
import { openGuardedTables } from "./guarded-tables.ts";
import type { FileMac } from "./file-mac.ts";
import type { StateContent } from "./snapshot-protocol.ts";
import { checkSchema } from "./state-schema.ts";
import { withStateErrors } from "./state-errors.ts";

/** Which state a file is of, as it says itself. */
export function contentOf(database: Database): StateContent {
  const number = (name: string): number =>
    Number(database.prepare("SELECT value FROM meta WHERE name = ?").pluck().get(name) ?? 0);
  const confState = database.prepare("SELECT data FROM conf_state").pluck().get();
  return {
    index: number("applied_index"),
    term: number("applied_term"),
    confState: confState instanceof Uint8Array ? confState : undefined,
  };
}

/**
 * Which state a whole file is of that is not in use yet. Throws `corrupt` if somebody without the root
 * key has written in it, and `storage-failed` if it has another schema.
 */
export function verifiedContent(path: string, mac: FileMac): StateContent {
  return withStateErrors(path, () => {
    const database = new SqliteDatabase(path, { readonly: true });
    try {
      checkSchema(database, path);
      const { tables } = openGuardedTables(database, mac, path);
      const { appliedIndex, appliedTerm, confState } = tables;
      return { index: appliedIndex(), term: appliedTerm(), confState: confState() };
    } finally {
      database.close();
    }
  });
}
