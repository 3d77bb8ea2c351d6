import type { Database } from "better-sqlite3";
import { CofferError } from "../errors.ts";

/** Marks the file as Coffer's state ("CoSt"), so that another program's database is refused. */
const APPLICATION_ID = 0x436f5374;

/** Raised with every change of the tables; a file of a higher version is refused. */
export const STATE_SCHEMA_VERSION = 4;

/**
 * `sealed` holds the values, appended and never moved, so that the other tables stay narrow: a wide row
 * in one of them would spill to pages of its own, and counting would walk it. `current` answers reads
 * at the latest revision and does not grow with history. `history_keys` finds the versions of a key;
 * `version` in it (0 for a delete) lets counts at a past revision stay inside the index. Every integer
 * column is declared INTEGER: better-sqlite3 binds numbers as doubles, and the affinity turns them back.
 */
const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('applied_index', 0), ('last_slot', 0);

CREATE TABLE scope (
  slot INTEGER PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
  revision INTEGER NOT NULL, compact_revision INTEGER NOT NULL, policy_revision INTEGER NOT NULL,
  hash BLOB NOT NULL, compact_hash BLOB NOT NULL, deleted INTEGER NOT NULL
) STRICT;
CREATE INDEX scope_id ON scope (id);
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
  hash BLOB, actor TEXT NOT NULL, sealed_id INTEGER,
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
`;

/**
 * What each version adds to the one before; a new file takes them all. Version 2: the term of the
 * applied entry, the configuration of the members, the ids of removed ones, and the lease clock. Before
 * it deadlines were times of day, so the clock goes on from the last such time that a lease was granted
 * or renewed: no lease of an older file ends early or gets more than its TTL. Version 3: suspension,
 * limits and compaction of tenants, and what they hold, counted from the rows. The counts that begin
 * here differ from those of a member that counted from the start, but by the same bytes in all three of
 * them, so that what they say of a tenant is the same. Version 4: credential revisions, which begin where
 * they do in a new scope, as no entry of before moves them.
 */
const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE conf_state (id INTEGER PRIMARY KEY CHECK (id = 0), data BLOB NOT NULL) STRICT;
CREATE TABLE removed_member (id BLOB PRIMARY KEY) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('applied_term', 0),
  ('lease_time', (SELECT ifnull(max(deadline - ttl * 1000), 0) FROM lease));
`,
  `
ALTER TABLE scope ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scope ADD COLUMN lease_floor INTEGER NOT NULL DEFAULT -1;
ALTER TABLE scope ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE scope ADD COLUMN compaction TEXT NOT NULL DEFAULT '{"kind":"none"}';
ALTER TABLE scope ADD COLUMN keys INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scope ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scope ADD COLUMN appended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scope ADD COLUMN garbage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scope ADD COLUMN compact_garbage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN garbage INTEGER;
CREATE TEMP TABLE counted AS
  SELECT slot, mod_rev, sub, sum(freed) OVER (PARTITION BY slot ORDER BY mod_rev) AS garbage
  FROM (
    SELECT slot, mod_rev, sub, iif(version = 0, length(key), 0) + ifnull(
      lag(iif(version = 0, 0, length(key) + length(record)))
        OVER (PARTITION BY slot, key ORDER BY mod_rev, sub), 0) AS freed
    FROM history LEFT JOIN sealed ON sealed.id = sealed_id
  ) JOIN scope USING (slot) WHERE mod_rev > compact_revision;
UPDATE history SET garbage = counted.garbage FROM counted
  WHERE (history.slot, history.mod_rev, history.sub) = (counted.slot, counted.mod_rev, 0)
    AND counted.sub = 0;
UPDATE scope SET
  keys = (SELECT count(*) FROM current WHERE current.slot = scope.slot),
  leases = (SELECT count(*) FROM lease WHERE lease.slot = scope.slot),
  garbage = (SELECT ifnull(max(counted.garbage), 0) FROM counted WHERE counted.slot = scope.slot);
UPDATE scope SET appended = garbage + (
  SELECT ifnull(sum(length(key) + length(record)), 0)
  FROM current JOIN sealed ON sealed.id = sealed_id WHERE current.slot = scope.slot);
DROP TABLE counted;
`,
  "ALTER TABLE scope ADD COLUMN credential_revision INTEGER NOT NULL DEFAULT 1;",
];

/** Checks that the file is ours and of a known version, and makes the tables in an empty one. */
export function prepareSchema(database: Database, path: string): void {
  const version = numberPragma(database, "user_version");
  const application = numberPragma(database, "application_id");
  const isEmpty = version === 0 && application === 0 && hasNoTable(database);
  if (isEmpty) {
    createSchema(database);
    return;
  }
  if (application !== APPLICATION_ID) {
    throw new CofferError(
      "storage-failed",
      `"${path}" is a database of another program, choose another data folder`,
    );
  }
  if (version > STATE_SCHEMA_VERSION) {
    throw new CofferError(
      "storage-failed",
      `"${path}" has schema version ${version}, this coffer knows up to ` +
        `${STATE_SCHEMA_VERSION}: run a newer coffer`,
    );
  }
  if (version < STATE_SCHEMA_VERSION) {
    database.transaction(() => migrate(database, version))();
  }
}

function createSchema(database: Database): void {
  database.transaction(() => {
    database.exec(SCHEMA);
    database.pragma(`application_id = ${APPLICATION_ID}`);
    migrate(database, 1);
  })();
}

function migrate(database: Database, version: number): void {
  for (const migration of MIGRATIONS.slice(version - 1)) database.exec(migration);
  database.pragma(`user_version = ${STATE_SCHEMA_VERSION}`);
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
