import assert from "node:assert/strict";
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import type { Client } from "../../src/client/mod.ts";
import { createWatch } from "./streams.ts";
import { startTwoTenants } from "./two-tenants.ts";
import { type World, bytes, failure, startWorld } from "./world.ts";

/** Refusals 17, 49, 50 and 51: who writes the disk changes records, and moves them to where they are not from. */

let world: World;

before(async () => {
  world = await startTwoTenants();
});

after(() => world[Symbol.asyncDispose]());

/** Opens the state of the stopped member. */
function withDatabase<T>(work: (database: SqliteDatabase.Database) => T): T {
  const database = new SqliteDatabase(join(world.dataDir, "state.db"));
  try {
    return work(database);
  } finally {
    database.pragma("wal_checkpoint(TRUNCATE)");
    database.close();
  }
}

type Change = string | ((database: SqliteDatabase.Database) => number);

/** Runs SQL, or what does more than that, on the state of the stopped member. */
function changeState(change: Change): void {
  const changes = withDatabase((database) =>
    typeof change === "string" ? database.prepare(change).run().changes : change(database),
  );
  assert.ok(changes > 0, "nothing was changed");
}

/** That the key is refused as damaged, with a record, in every way of reading it. */
async function assertDamaged(client: Client, key: Buffer): Promise<void> {
  const seen = world.audit().at(-1)?.seq ?? 0;
  const reads = [
    () => client.range({ key }),
    () => client.range({ key: bytes("/"), rangeEnd: bytes("/z") }),
    () => client.history({ key, values: true }),
    () => client.txn({ success: [{ request: { $case: "requestRange", value: { key } } }] }),
  ];
  for (const read of reads) {
    const error = await failure(read(), "record-invalid");
    assert.match(error.message, /^coffer: a stored record failed authentication: it was altered/);
  }
  const records = world.audit().filter(({ seq }) => seq > seen);
  assert.equal(records.length, reads.length);
  for (const { outcome, reason } of records) {
    assert.deepEqual([outcome, reason], ["failed", "record-invalid"]);
  }
  // Names and numbers are not sealed; an old value is seen by a watch too.
  assert.equal((await client.range({ key, keysOnly: true })).kvs.length, 1);
  const { watch } = await createWatch(client, { key, startRevision: 1n });
  assert.equal((await watch.ended)?.code, "record-invalid");
}

/** Runs `work` on a member whose state was changed, then puts all of it back. */
async function withState(changes: readonly Change[], work: () => Promise<void>): Promise<void> {
  await withStopped(changes, async () => {
    await world.restart();
    await work();
  });
}

/** That a member whose state was changed does not start. */
async function refusedAtStart(changes: readonly Change[]): Promise<void> {
  await withStopped(changes, async () => {
    const error = await failure(world.restart(), "corrupt");
    assert.match(error.message, /changed by something that does not have the cluster's root key/);
  });
}

async function withStopped(changes: readonly Change[], work: () => Promise<void>): Promise<void> {
  await world.stop();
  cpSync(world.dataDir, join(world.folder, "whole"), { recursive: true });
  try {
    for (const one of changes) changeState(one);
    await work();
  } finally {
    await world.restart(() => {
      rmSync(world.dataDir, { recursive: true });
      renameSync(join(world.folder, "whole"), world.dataDir);
    });
  }
}

const SLOT = "(SELECT slot FROM scope WHERE name = 'default')";
const OTHER = "(SELECT slot FROM scope WHERE name = 'other')";
const TABLES = ["current", "history"];

test("refusal 49: one flipped byte of a record", async () => {
  // The last byte, which is the tag's, becomes another.
  const flipped =
    "substr(record, 1, length(record) - 1) || " +
    "CASE substr(record, -1) WHEN x'00' THEN x'01' ELSE x'00' END";
  const ids = `SELECT sealed_id FROM history WHERE slot = ${SLOT} AND key = CAST('/a' AS BLOB)`;
  const sql = `UPDATE sealed SET record = CAST(${flipped} AS BLOB) WHERE id IN (${ids})`;
  await withState([sql], async () => {
    await assertDamaged(world.admin, bytes("/a"));
    assert.equal((await world.admin.range({ key: bytes("/b") })).kvs.length, 1);
  });
});

/** Lets the default tenant's /a have the record of another key. */
function moved(slot: string, key: string): readonly string[] {
  return TABLES.map(
    (table) =>
      `UPDATE ${table} SET sealed_id = (SELECT sealed_id FROM ${table} AS b WHERE ` +
      `b.slot = ${slot} AND b.key = CAST('${key}' AS BLOB)) ` +
      `WHERE slot = ${SLOT} AND key = CAST('/a' AS BLOB)`,
  );
}

test("refusal 50: a record moved to another key", async () => {
  await withState(moved(SLOT, "/b"), () => assertDamaged(world.admin, bytes("/a")));
});

test("refusal 50: a record moved to another tenant", async () => {
  await withState(moved(OTHER, "/a"), () => assertDamaged(world.admin, bytes("/a")));
});

test("refusal 50: the keys and wrapped keys of a tenant moved under another tenant's id", async () => {
  const sql = [
    `UPDATE record SET data = (SELECT data FROM record AS b WHERE b.slot = ${OTHER} AND ` +
      `b.kind = record.kind AND b.id = record.id) WHERE slot = ${SLOT} AND kind = 'wrapped-key'`,
    ...moved(OTHER, "/a"),
  ];
  await refusedAtStart(sql);
});

/** A record as it is stored: that of the key's latest version. */
interface Stored {
  readonly id: number;
  readonly record: Buffer;
}

function storedIn(database: SqliteDatabase.Database, tenant: string, key: string): Stored {
  const sql =
    "SELECT sealed.id, sealed.record FROM sealed JOIN current ON current.sealed_id = sealed.id " +
    "JOIN scope ON scope.slot = current.slot WHERE scope.name = ? AND scope.deleted = 0 AND current.key = ?";
  const found = database.prepare(sql).get(tenant, bytes(key)) as Stored | undefined;
  return found ?? assert.fail(`${tenant} has no ${key}`);
}

function setRecord(database: SqliteDatabase.Database, id: number, record: Buffer): number {
  return database.prepare("UPDATE sealed SET record = ? WHERE id = ?").run(record, id).changes;
}

/** Kind `wrapped-key` of a tenant, by id. */
function wrappedKeys(database: SqliteDatabase.Database, tenant: string): readonly Wrapped[] {
  const sql =
    "SELECT record.id, record.data FROM record JOIN scope ON scope.slot = record.slot " +
    "WHERE scope.name = ? AND scope.deleted = 0 AND record.kind = 'wrapped-key'";
  return database.prepare(sql).all(tenant) as Wrapped[];
}

interface Wrapped {
  readonly id: string;
  readonly data: Buffer;
}

function setWrappedKeys(
  database: SqliteDatabase.Database,
  tenant: string,
  keys: readonly Wrapped[],
): number {
  const sql =
    "UPDATE record SET data = ? WHERE id = ? AND kind = 'wrapped-key' AND " +
    "slot = (SELECT slot FROM scope WHERE name = ? AND deleted = 0)";
  const statement = database.prepare(sql);
  return keys.reduce((sum, { id, data }) => sum + statement.run(data, id, tenant).changes, 0);
}

test("refusal 49: one flipped byte at any place of a record", async () => {
  const length = 45 + 4;
  const keys = Array.from({ length }, (_, at) => `/flip/${at}`);
  for (const key of keys) await world.admin.put({ key: bytes(key), value: bytes("word") });
  const flip = (database: SqliteDatabase.Database): number =>
    keys.reduce((sum, key, at) => {
      const { id, record } = storedIn(database, "default", key);
      assert.equal(record.length, length);
      const altered = Buffer.from(record);
      altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
      return sum + setRecord(database, id, altered);
    }, 0);
  await withState([flip], async () => {
    const seen = world.audit().at(-1)?.seq ?? 0;
    for (const key of keys) {
      const error = await failure(world.admin.range({ key: bytes(key) }), "record-invalid");
      assert.match(error.message, /^coffer: a stored record failed authentication/, key);
    }
    const records = world.audit().filter(({ seq }) => seq > seen);
    assert.deepEqual(
      records.map(({ outcome, reason }) => `${outcome} ${reason}`),
      keys.map(() => "failed record-invalid"),
    );
  });
  assert.equal((await world.admin.range({ key: bytes(keys[0] ?? "") })).kvs.length, 1);
});

test("refusal 50: a record, and wrapped keys, of another cluster with the same root key", async () => {
  const { rootKeyFile } = world;
  await using far = await startWorld({
    config: (folder) => {
      const path = join(folder, "root.key");
      writeFileSync(path, readFileSync(rootKeyFile), { mode: 0o600 });
      return { rootKeyFile: path, clusterToken: "another cluster" };
    },
  });
  await far.admin.put({ key: bytes("/a"), value: bytes("value of /a") });
  await far.stop();
  const theirs = new SqliteDatabase(join(far.dataDir, "state.db"));
  const { record } = storedIn(theirs, "default", "/a");
  const keys = wrappedKeys(theirs, "default");
  theirs.close();
  assert.ok(keys.length >= 2);
  const move = (database: SqliteDatabase.Database): number =>
    setRecord(database, storedIn(database, "default", "/a").id, record);
  await withState([move], () => assertDamaged(world.admin, bytes("/a")));
  const moveKeys = (database: SqliteDatabase.Database): number =>
    setWrappedKeys(database, "default", keys);
  await refusedAtStart([move, moveKeys]);
});

test("refusal 51: a right that somebody without the root key wrote into state.db, and into raft.db", async () => {
  const grant = `INSERT INTO record SELECT slot, 'policy', 'stranger', data FROM record
    WHERE kind = 'policy' LIMIT 1`;
  await refusedAtStart([grant]);
  // The entries are read by their tags; one that is not committed yet is dropped and not applied.
  const path = join(world.dataDir, "raft.db");
  const intoLog = (idx: string): void => {
    const log = new SqliteDatabase(path);
    log.exec(`INSERT OR REPLACE INTO entries (idx, term, kind, data, commit_idx, tag)
      SELECT ${idx}, term, kind, data, commit_idx, tag FROM entries ORDER BY idx DESC LIMIT 1`);
    log.close();
  };
  const forge = (idx: string): Change => {
    return () => {
      intoLog(idx);
      return 1;
    };
  };
  await withStopped([forge("idx - 1")], async () => {
    const error = await failure(world.restart(), "corrupt");
    assert.match(
      error.message,
      /entry \d+ of ".*raft.db" is damaged|holds files of different times/,
    );
  });
  const { header } = await world.admin.range({ key: bytes("/a") });
  await withState([forge("idx + 1")], async () => {
    const again = await world.admin.range({ key: bytes("/a") });
    assert.equal(again.header?.revision, header?.revision);
  });
});

test("refusal 17: a record of a deleted tenant under the new one of its name", async () => {
  const operator = (): Promise<Client> => world.as("user:admin", { tenants: ["system"] });
  const owner = (): Promise<Client> => world.as("user:owner", { tenants: ["phoenix"] });
  const order = { name: "phoenix", owner: "user:owner" };
  await (await operator()).tenantCreate(order);
  await (await owner()).put({ key: bytes("/k"), value: bytes("before") });
  await world.stop();
  const former = withDatabase((database) => ({
    record: storedIn(database, "phoenix", "/k").record,
    keys: wrappedKeys(database, "phoenix"),
  }));
  await world.restart();
  await (await operator()).tenantDelete({ name: "phoenix" });
  await (await operator()).tenantCreate(order);
  await (await owner()).put({ key: bytes("/k"), value: bytes("after!") });
  const back = (database: SqliteDatabase.Database): number =>
    setRecord(database, storedIn(database, "phoenix", "/k").id, former.record);
  await withState([back], async () => assertDamaged(await owner(), bytes("/k")));
  const backKeys = (database: SqliteDatabase.Database): number =>
    setWrappedKeys(database, "phoenix", former.keys);
  await refusedAtStart([back, backKeys]);
});
