import assert from "node:assert/strict";
import { test } from "node:test";
import SqliteDatabase, { type Database } from "better-sqlite3";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import { bytes, machineOn, put, statePath } from "../fsm/fixtures.ts";
import { TEST_MAC } from "./test-mac.ts";

/** Opens a store, and answers the connection that it writes over as well. */
function openWithConnection(path: string): { readonly store: StateStore; readonly own: Database } {
  const { prepare } = SqliteDatabase.prototype;
  const seen = new Set<Database>();
  SqliteDatabase.prototype.prepare = function (this: Database, ...given: [string]) {
    seen.add(this);
    return prepare.apply(this, given);
  } as typeof prepare;
  try {
    const store = openStateStore({ mac: TEST_MAC, path, commit: "later" });
    const own = [...seen].find((database) => database.open && database.name === path);
    assert.ok(own !== undefined, "no connection was seen");
    return { store, own };
  } finally {
    SqliteDatabase.prototype.prepare = prepare;
  }
}

for (const next of ["flush", "transaction"] as const) {
  test(`what a failed read takes back is noticed at the next ${next}, and nothing is committed without it`, (context) => {
    const path = statePath(context);
    const { store, own } = openWithConnection(path);
    const machine = machineOn(store);
    machine.run({ kind: "put", request: put("/a", "old") });
    machine.fsm.flush();
    const committed = store.appliedIndex();
    store.transaction(() =>
      store.putRecord(0, "revocation", { id: "mallory", data: bytes("revoked") }),
    );
    machine.run({ kind: "put", request: put("/a", "new") });
    assert.ok(store.appliedIndex() > committed);
    // As SQLite does by itself when a read fails on a disk that is full or bad.
    own.exec("ROLLBACK");
    const go = (): void => {
      if (next === "flush") store.flush();
      else store.transaction(() => store.setCleanRevision(1, 5));
    };
    assert.throws(go, { code: "no-space" });
    // As it was last committed, in memory and in the file; the log has the rest.
    assert.equal(store.appliedIndex(), committed);
    assert.equal(store.record(0, "revocation", "mallory"), undefined);
    store.transaction(() => store.putRecord(0, "revocation", { id: "b", data: bytes("again") }));
    store.flush();
    store.close();
    const again = openStateStore({ mac: TEST_MAC, path });
    assert.equal(again.appliedIndex(), committed);
    assert.notEqual(again.record(0, "revocation", "b"), undefined);
    again.close();
  });
}
