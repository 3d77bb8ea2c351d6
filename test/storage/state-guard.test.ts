import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import fc from "fast-check";
import { NO_COMPACTION, NO_LIMITS, memberId, tenantId } from "../../src/core/types/mod.ts";
import type { RecordTable } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { ScopeRow } from "../../src/core/fsm/mod.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import { bytes, machineOn, put, statePath } from "../fsm/fixtures.ts";
import { TEST_MAC, macOf } from "./test-mac.ts";

/** Rows that say who may what are authenticated: refusal 51 and the threat of who writes the disk. */

function open(path: string, commit: "each" | "later" = "each"): StateStore {
  return openStateStore({ mac: TEST_MAC, path, commit });
}

function refusal(path: string): CofferError {
  try {
    open(path).close();
  } catch (error) {
    assert.ok(error instanceof CofferError, String(error));
    return error;
  }
  return assert.fail("The changed file was opened");
}

function scopeRow(slot: number, over: Partial<ScopeRow> = {}): ScopeRow {
  return {
    slot,
    id: tenantId(`${String(slot).padStart(8, "0")}-1111-4111-8111-111111111111`),
    name: `t${slot}`,
    created: 1000,
    revision: 1,
    compactRevision: 0,
    policyRevision: 1,
    credentialRevision: 1,
    hash: new Uint8Array(32),
    compactHash: new Uint8Array(32),
    deleted: false,
    suspended: false,
    leaseFloor: -1,
    limits: NO_LIMITS,
    compaction: NO_COMPACTION,
    keys: 0,
    leases: 0,
    appended: 0,
    garbage: 0,
    compactGarbage: 0,
    ...over,
  };
}

/** A file with tenants, records and members, closed; and a copy of it from before the last changes. */
function sample(context: TestContext): { readonly path: string; readonly before: string } {
  const path = statePath(context);
  const before = `${path}.before`;
  const store = open(path);
  machineOn(store).run({ kind: "put", request: put("/a", "v") });
  store.transaction(() => {
    store.putScope(scopeRow(7));
    store.putScope(scopeRow(8, { suspended: true, limits: { keysMax: 5 } }));
    store.putRecord(7, "policy", { id: "p1", data: bytes("allow alice") });
    store.putRecord(7, "policy", { id: "p2", data: bytes("deny alice /secret") });
    store.putRecord(0, "revocation", { id: "r1", data: bytes("token 5") });
    store.putMember({
      id: memberId(5n),
      name: "m1",
      peerUrls: [],
      clientUrls: [],
      isLearner: true,
    });
    store.putMember({
      id: memberId(6n),
      name: "m2",
      peerUrls: [],
      clientUrls: [],
      isLearner: false,
    });
    store.removeMember(memberId(6n));
    store.setConfState(bytes("voters"));
    store.setApplied({ index: 3, term: 1, leaseTime: 0 });
  });
  store.close();
  copyFileSync(path, before);
  const again = open(path);
  again.transaction(() => {
    again.removeRecord(7, "policy", "p1");
    again.putRecord(7, "policy", { id: "p3", data: bytes("allow bob") });
    again.setApplied({ index: 4, term: 1, leaseTime: 0 });
  });
  again.close();
  return { path, before };
}

function change(path: string, sql: string): void {
  const database = new SqliteDatabase(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

const grant = "INSERT INTO record VALUES (7, 'policy', 'p9', x'61')";
const changes: Readonly<Record<string, (before: string) => string>> = {
  "a right granted": () => grant,
  "a right changed": () => "UPDATE record SET data = x'61' WHERE id = 'p3'",
  "a right of another tenant": () => "UPDATE record SET slot = 8 WHERE id = 'p3'",
  "a denial taken away": () => "DELETE FROM record WHERE id = 'p2'",
  "a revocation taken away": () => "DELETE FROM record WHERE kind = 'revocation'",
  "a record of another kind": () => "UPDATE record SET kind = 'issuer' WHERE id = 'p3'",
  "a removed right put back": (before) => `ATTACH '${before}' AS before;
    INSERT INTO record SELECT * FROM before.record WHERE id = 'p1'; DETACH before`,
  "all rights of yesterday": (before) => `ATTACH '${before}' AS before; DELETE FROM record;
    INSERT INTO record SELECT * FROM before.record; DETACH before`,
  "all rights of yesterday and their tag": (before) => `ATTACH '${before}' AS before;
    DELETE FROM record; INSERT INTO record SELECT * FROM before.record;
    UPDATE guard SET tag = (SELECT tag FROM before.guard); DETACH before`,
  "two tenants' names exchanged": () =>
    "UPDATE scope SET name = iif(slot = 7, 't8', 't7') WHERE slot IN (7, 8)",
  "a tenant's id": () => "UPDATE scope SET id = 'x' WHERE slot = 7",
  "a tenant resumed": () => "UPDATE scope SET suspended = 0 WHERE slot = 8",
  "a limit raised": () => `UPDATE scope SET limits = '{"keysMax":9}' WHERE slot = 8`,
  "a tenant deleted": () => "DELETE FROM scope WHERE slot = 8",
  "a flag that two readers read in two ways": () =>
    "UPDATE scope SET suspended = 2, deleted = 2 WHERE slot = 7",
  "a member's name": () => "UPDATE member SET name = 'm9'",
  "a learner that votes": () => "UPDATE member SET is_learner = 0",
  "a removed member forgotten": () => "DELETE FROM removed_member",
  "other voters": () => "UPDATE conf_state SET data = x'61'",
  "an index behind": () => "UPDATE meta SET value = 3 WHERE name = 'applied_index'",
  "a slot given out again": () => "UPDATE meta SET value = 6 WHERE name = 'last_slot'",
  "the clock of leases": () => "UPDATE meta SET value = 9 WHERE name = 'lease_time'",
  "a number left out": () => "DELETE FROM meta WHERE name = 'lease_time'",
  "another number": () => "INSERT INTO meta VALUES ('more', 1)",
  "a policy revision": () => "UPDATE scope SET policy_revision = 9 WHERE slot = 7",
  "a credential revision": () => "UPDATE scope SET credential_revision = 9 WHERE slot = 7",
  "no tag": () => "DELETE FROM guard",
  "a tag of zeros": () => "UPDATE guard SET tag = zeroblob(32)",
  "a row that takes itself out":
    () => `CREATE TABLE copy (slot INTEGER NOT NULL, kind TEXT NOT NULL,
    id TEXT NOT NULL, data BLOB NOT NULL); INSERT INTO copy SELECT * FROM record; DROP TABLE record;
    ALTER TABLE copy RENAME TO record; ${grant}; ${grant}`,
  "a trigger that grants": () =>
    `CREATE TRIGGER more AFTER INSERT ON history BEGIN ${grant.replace("INTO", "OR IGNORE INTO")}; END`,
  "an emptied file, as if new": () => `DELETE FROM record; DELETE FROM scope; DELETE FROM member;
    DELETE FROM removed_member; DELETE FROM conf_state; DELETE FROM guard; DELETE FROM current;
    DELETE FROM history; DELETE FROM sealed; DELETE FROM lease`,
};

for (const [name, sqlOf] of Object.entries(changes)) {
  test(`refusal 51: state.db that was written by somebody without the root key: ${name}`, (context) => {
    const { path, before } = sample(context);
    change(path, sqlOf(before));
    const error = refusal(path);
    assert.equal(error.code, "corrupt");
    assert.match(error.message, /changed by something that does not have the cluster's root key/);
  });
}

test("a row that a scan comes by again is refused at once, however often it comes", (context) => {
  const { path } = sample(context);
  doubleRow(path, "record", "policyp2");
  const error = refusal(path);
  assert.equal(error.code, "corrupt");
});

test("a file of another cluster or root key is refused", (context) => {
  const { path } = sample(context);
  assert.throws(() => openStateStore({ mac: macOf("other"), path }), { code: "corrupt" });
  open(path).close();
});

test("what moves with every write is not looked at, so that a write need not make tags", (context) => {
  const { path } = sample(context);
  change(path, "UPDATE scope SET revision = revision + 1, keys = keys + 1");
  open(path).close();
});

/** Lets a scan come by a row twice: a second pointer to it takes the place of that of the row before. */
function doubleRow(path: string, table: string, text: string): void {
  const { file, page, cells } = leafOf(path, table);
  const at = cells.findIndex((cell) => file.subarray(page + cell, page + cell + 24).includes(text));
  assert.ok(at > 0, "the row is not there, or is the first");
  file.writeUInt16BE(cells[at] ?? 0, page + 8 + 2 * (at - 1));
  writeFileSync(path, file);
}

/** Moves a row to the end of its page: a scan comes by it, and a search in order does not. */
function hideFromSearch(path: string, table: string, text: string): void {
  const { file, page, cells } = leafOf(path, table);
  const at = cells.findIndex((cell) => file.subarray(page + cell, page + cell + 24).includes(text));
  assert.ok(at >= 0 && at < cells.length - 1, "the row is not there, or is the last already");
  const moved = [...cells.toSpliced(at, 1), cells[at] ?? 0];
  for (const [i, cell] of moved.entries()) file.writeUInt16BE(cell, page + 8 + 2 * i);
  writeFileSync(path, file);
}

/** A table of one page, a leaf of an index b-tree (sqlite.org/fileformat2.html, section 1.6). */
function leafOf(
  path: string,
  table: string,
): { readonly file: Buffer; readonly page: number; readonly cells: readonly number[] } {
  const database = new SqliteDatabase(path);
  database.pragma("wal_checkpoint(TRUNCATE)");
  const sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
  const root = Number(database.prepare(sql).pluck().get(table));
  database.close();
  const file = readFileSync(path);
  const page = (root - 1) * 4096;
  assert.equal(file[page], 0x0a);
  const count = file.readUInt16BE(page + 3);
  const cells = Array.from({ length: count }, (_, at) => file.readUInt16BE(page + 8 + 2 * at));
  return { file, page, cells };
}

for (const [slot, kind, id] of [
  [7, "policy", "p2"],
  [0, "revocation", "r1"],
] as const) {
  test(`a ${kind} that is hidden from a search is found all the same`, (context) => {
    const { path } = sample(context);
    hideFromSearch(path, "record", kind + id);
    const database = new SqliteDatabase(path, { readonly: true });
    const find = database.prepare("SELECT 1 FROM record WHERE slot = ? AND kind = ? AND id = ?");
    assert.equal(find.get(slot, kind, id), undefined, "the row was not hidden");
    database.close();
    const store = open(path);
    assert.notEqual(store.record(slot, kind, id), undefined);
    assert.ok(store.records(slot, kind).some((record) => record.id === id));
    store.close();
  });
}

test("a list of records is in order, whatever was put, taken away or taken back", (context) => {
  const store = open(statePath(context));
  const ids = (): readonly string[] => store.records(3, "policy").map((record) => record.id);
  const set = (id: string): void => store.putRecord(3, "policy", { id, data: bytes(id) });
  store.transaction(() => ["b", "\u{10000}", "a", "\uffff"].forEach(set));
  // By UTF-8 bytes.
  assert.deepEqual(ids(), ["a", "b", "\uffff", "\u{10000}"]);
  assert.throws(() =>
    store.transaction(() => {
      set("aa");
      store.removeRecord(3, "policy", "a");
      assert.deepEqual(ids(), ["aa", "b", "\uffff", "\u{10000}"]);
      throw new Error("taken back");
    }),
  );
  assert.deepEqual(ids(), ["a", "b", "\uffff", "\u{10000}"]);
  assert.equal(store.record(3, "policy", "aa"), undefined);
  store.close();
});

const TABLES: readonly RecordTable[] = ["policy", "issuer", "revocation"];
const slot = fc.integer({ min: 1, max: 3 });
const id = fc.constantFrom("a", "b", "c");
const data = fc.uint8Array({ maxLength: 3 });
const table = fc.constantFrom(...TABLES);
const member = fc.bigInt({ min: 1n, max: 3n });

const step: fc.Arbitrary<(store: StateStore) => void> = fc.oneof(
  fc.tuple(slot, fc.constantFrom("x", "y"), fc.boolean()).map(
    ([at, name, suspended]) =>
      (store: StateStore) =>
        store.putScope(scopeRow(at, { name, suspended, limits: { keysMax: at } })),
  ),
  slot.map((at) => (store: StateStore) => store.removeScope(at)),
  slot.map((at) => (store: StateStore) => store.moveScope(scopeRow(at, { revision: 9 }))),
  fc.tuple(slot, table, id, data).map(
    ([at, kind, name, value]) =>
      (store: StateStore) =>
        store.putRecord(at, kind, { id: name, data: value }),
  ),
  fc.tuple(slot, table, id).map(
    ([at, kind, name]) =>
      (store: StateStore) =>
        store.removeRecord(at, kind, name),
  ),
  slot.map((at) => (store: StateStore) => store.removeRecords(at)),
  fc.tuple(slot, fc.integer({ min: 1, max: 4 })).map(
    ([at, rows]) =>
      (store: StateStore) =>
        void store.purge(at, rows),
  ),
  fc.tuple(member, fc.boolean()).map(
    ([one, isLearner]) =>
      (store: StateStore) =>
        store.putMember({ id: memberId(one), name: "m", peerUrls: [], clientUrls: [], isLearner }),
  ),
  member.map((one) => (store: StateStore) => store.removeMember(memberId(one))),
  data.map((value) => (store: StateStore) => store.setConfState(value)),
  fc
    .integer({ min: 1, max: 1000 })
    .map((index) => (store: StateStore) => store.setApplied({ index, term: 1, leaseTime: 0 })),
);

/** Several steps that are committed together, or taken back at their end, or not flushed. */
const work = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 6 }),
  end: fc.constantFrom("commit", "fail", "flush", "reopen"),
});

test("whatever is written, taken back or lost, the file opens as it was last committed", (context) => {
  const path = statePath(context);
  let round = 0;
  fc.assert(
    fc.property(
      fc.constantFrom("each" as const, "later" as const),
      fc.array(work, { maxLength: 12 }),
      (commit, works) => {
        const file = `${path}.${round++}`;
        let store = open(file, commit);
        for (const { steps, end } of works) {
          const run = (): void => {
            store.transaction(() => {
              for (const one of steps) one(store);
              if (end === "fail") throw new Error("taken back");
            });
          };
          if (end === "fail") assert.throws(run, /taken back/);
          else run();
          if (end === "flush") store.flush();
          if (end !== "reopen") continue;
          store.close();
          store = open(file, commit);
        }
        store.close();
        open(file).close();
      },
    ),
    { numRuns: 150 },
  );
});
