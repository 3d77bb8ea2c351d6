import type { Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";
import type { FileMac } from "./file-mac.ts";
import { checkTables, otherVersionError } from "./file-tables.ts";
import { emptyTag } from "./guarded-tables.ts";

/** Marks the file as Coffer's state ("CoSt"), so that another program's database is refused. */
const APPLICATION_ID = 0x436f5374;

/** Raised with every change of the tables; a file of another version is refused. */
export const STATE_SCHEMA_VERSION = 5;

/**
 * `sealed` holds the values, appended and never moved, so that the other tables stay narrow: a wide row
 * in one of them would spill to pages of its own, and counting would walk it. `current` answers reads
 * at the latest revision and does not grow with history. `history_keys` finds the versions of a key;
 * `version` in it (0 for a delete) lets counts at a past revision stay inside the index. Every integer
 * column is declared INTEGER: better-sqlite3 binds numbers as doubles, and the affinity turns them back.
 * `guard` has the one tag that authenticates scopes, records and members (guarded-tables.ts).
 */
const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE scope (
  slot INTEGER PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
  revision INTEGER NOT NULL, compact_revision INTEGER NOT NULL, policy_revision INTEGER NOT NULL,
  credential_revision INTEGER NOT NULL, hash BLOB NOT NULL, compact_hash BLOB NOT NULL,
  deleted INTEGER NOT NULL, suspended INTEGER NOT NULL, lease_floor INTEGER NOT NULL,
  limits TEXT NOT NULL, compaction TEXT NOT NULL, keys INTEGER NOT NULL, leases INTEGER NOT NULL,
  appended INTEGER NOT NULL, garbage INTEGER NOT NULL, compact_garbage INTEGER NOT NULL
) STRICT;
CREATE TABLE cleaned (slot INTEGER PRIMARY KEY, revision INTEGER NOT NULL) STRICT;

CREATE TABLE sealed (id INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;

CREATE TABLE current (
  slot INTEGER NOT NULL, key BLOB NOT NULL, create_rev INTEGER NOT NULL, mod_rev INTEGER NOT NULL,
  version INTEGER NOT NULL, lease BLOB, sealed_id INTEGER NOT NULL,
  PRIMARY KEY (slot, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX current_leases ON current (slot, lease, key) WHERE lease IS NOT NULL;

CREATE TABLE history (
  slot INTEGER NOT NULL, mod_rev INTEGER NOT NULL, sub INTEGER NOT NULL, key BLOB NOT NULL,
  create_rev INTEGER NOT NULL, version INTEGER NOT NULL, lease BLOB, time INTEGER NOT NULL,
  hash BLOB, actor TEXT NOT NULL, sealed_id INTEGER, garbage INTEGER,
  PRIMARY KEY (slot, mod_rev, sub)
) WITHOUT ROWID, STRICT;
CREATE INDEX history_keys ON history (slot, key, mod_rev, sub, version);

CREATE TABLE lease (
  slot INTEGER NOT NULL, id BLOB NOT NULL, ttl INTEGER NOT NULL, deadline INTEGER NOT NULL,
  PRIMARY KEY (slot, id)
) WITHOUT ROWID, STRICT;
CREATE INDEX lease_deadline ON lease (deadline, slot, id);

CREATE TABLE record (
  slot INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (slot, kind, id)
) WITHOUT ROWID, STRICT;
CREATE TABLE member (
  id BLOB PRIMARY KEY, name TEXT NOT NULL, peer_urls TEXT NOT NULL, client_urls TEXT NOT NULL,
  is_learner INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE removed_member (id BLOB PRIMARY KEY) WITHOUT ROWID, STRICT;
CREATE TABLE conf_state (id INTEGER PRIMARY KEY CHECK (id = 0), data BLOB NOT NULL) STRICT;
CREATE TABLE guard (id INTEGER PRIMARY KEY CHECK (id = 0), tag BLOB NOT NULL) STRICT;
`;

const NUMBERS = `
INSERT INTO meta VALUES
  ('applied_index', 0), ('applied_term', 0), ('lease_time', 0), ('last_slot', 0);
`;

/**
 * Checks that the file is ours, of this version and with its tables alone, and makes them in an empty one.
 */
export function prepareSchema(database: Database, path: string, mac: FileMac): void {
  const version = numberPragma(database, "user_version");
  const application = numberPragma(database, "application_id");
  const isEmpty = version === 0 && application === 0 && hasNoTable(database);
  if (isEmpty) {
    createSchema(database, mac);
    return;
  }
  checkSchema(database, path);
}

/** Throws unless the file is ours, of this version and with its tables alone. */
export function checkSchema(database: Database, path: string): void {
  const version = numberPragma(database, "user_version");
  const application = numberPragma(database, "application_id");
  if (application !== APPLICATION_ID) {
    throw new CofferError(
      "storage-failed",
      `"${path}" is a database of another program, choose another data folder`,
    );
  }
  if (version !== STATE_SCHEMA_VERSION) {
    throw otherVersionError(path, { found: version, known: STATE_SCHEMA_VERSION });
  }
  checkTables(database, SCHEMA, path);
}

function createSchema(database: Database, mac: FileMac): void {
  database.transaction(() => {
    database.exec(SCHEMA + NUMBERS);
    database.prepare("INSERT INTO guard VALUES (0, ?)").run(emptyTag(mac));
    database.pragma(`application_id = ${APPLICATION_ID}`);
    database.pragma(`user_version = ${STATE_SCHEMA_VERSION}`);
  })();
}

/** Whether the file is Coffer's state, of any version. */
export function isStateSchema(database: Database): boolean {
  return numberPragma(database, "application_id") === APPLICATION_ID;
}

export function numberPragma(database: Database, name: string): number {
  return Number(database.pragma(name, { simple: true }));
}

function hasNoTable(database: Database): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
}
