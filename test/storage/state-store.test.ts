import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import { CofferError } from "../../src/errors.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import { stateError } from "../../src/storage/state-errors.ts";
import {
  TENANT,
  del,
  entryOf,
  machineOn,
  proposal,
  put,
  range,
  statePath,
} from "../fsm/fixtures.ts";
import { TEST_MAC } from "./test-mac.ts";

function refusal(work: () => unknown): CofferError {
  try {
    work();
  } catch (failure) {
    assert.ok(failure instanceof CofferError, String(failure));
    return failure;
  }
  return assert.fail("nothing was refused");
}

test("the file is for its owner alone, and so is a new folder", (context) => {
  const path = statePath(context);
  const store = openStateStore({ mac: TEST_MAC, path });
  machineOn(store);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  for (const suffix of ["", "-wal", "-shm"]) {
    assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
  }
  store.close();
  chmodSync(path, 0o644);
  openStateStore({ mac: TEST_MAC, path }).close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("a file of another schema names both versions", (context) => {
  const path = statePath(context);
  openStateStore({ mac: TEST_MAC, path }).close();
  for (const [version, next] of [
    [9, "a later one"],
    [4, "start afresh: coffer dev --reset, or another --data-dir"],
  ] as const) {
    const database = new SqliteDatabase(path);
    database.pragma(`user_version = ${version}`);
    database.close();
    const failure = refusal(() => openStateStore({ mac: TEST_MAC, path }));
    assert.equal(failure.code, "storage-failed");
    assert.match(failure.message, new RegExp(`schema version ${version}, .* version 5; .*${next}`));
  }
});

test("another program's database is refused and left as it is", (context) => {
  const path = statePath(context);
  mkdirSync(dirname(path), { recursive: true });
  const database = new SqliteDatabase(path);
  database.exec("CREATE TABLE theirs (x)");
  database.close();
  assert.match(refusal(() => openStateStore({ mac: TEST_MAC, path })).message, /another program/);
  const again = new SqliteDatabase(path, { readonly: true });
  const tables = again.prepare("SELECT name FROM sqlite_schema").pluck().all();
  again.close();
  assert.deepEqual(tables, ["theirs"]);
});

test("a file that is no database is called damaged", (context) => {
  const path = statePath(context);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "not a database, ".repeat(500));
  const failure = refusal(() => openStateStore({ mac: TEST_MAC, path }));
  assert.equal(failure.code, "corrupt");
  assert.match(failure.message, /not a database/);
});

test("failures of the medium become errors that name the next step", () => {
  const of = (code: string): CofferError => {
    const made = stateError("/data/state.db", Object.assign(new Error("raw"), { code }));
    assert.ok(made instanceof CofferError);
    return made;
  };
  assert.equal(of("SQLITE_FULL").code, "no-space");
  assert.equal(of("ENOSPC").code, "no-space");
  assert.equal(of("SQLITE_CORRUPT_INDEX").code, "corrupt");
  assert.match(of("SQLITE_CANTOPEN").message, /no permission/);
  assert.match(of("EACCES").message, /no permission/);
  assert.match(of("SQLITE_BUSY").message, /another process/);
  assert.match(of("SQLITE_IOERR_WRITE").message, /SQLITE_IOERR_WRITE/);
  const bug = new TypeError("bug");
  assert.equal(stateError("/data/state.db", bug), bug);
});

test("a folder that cannot be made is refused with its cause", (context) => {
  const path = statePath(context);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.file`, "");
  const failure = refusal(() => openStateStore({ mac: TEST_MAC, path: `${path}.file/state.db` }));
  assert.equal(failure.code, "storage-failed");
  assert.match(failure.message, /ENOTDIR|EEXIST/);
});

test("a full disk refuses the batch, keeps what was there, and takes more after a delete", (context) => {
  const store = openStateStore({
    mac: TEST_MAC,
    path: statePath(context),
    fileBytesMax: 1024 * 1024,
  });
  context.after(() => store.close());
  const machine = machineOn(store);
  const { fsm } = machine;
  const fill = (at: number) =>
    fsm.apply([
      entryOf(
        fsm.appliedIndex + 1,
        Array.from({ length: 10 }, (_, i) =>
          proposal({ kind: "put", request: put(`k${at}-${i}`, "v".repeat(2000)) }),
        ),
      ),
    ]);
  let filled = 0;
  const failure = refusal(() => {
    for (; ; filled++) fill(filled);
  });
  assert.equal(failure.code, "no-space");
  assert.ok(filled > 5 && filled * 10 * 2000 < 1024 * 1024, `${filled} batches`);
  const revision = 1 + filled * 10;
  assert.equal(fsm.reader.tenant(TENANT)?.revision, revision);
  const count = fsm.reader.range(TENANT, range("k", "l", { countOnly: true }));
  assert.equal(count.ok && count.value.count, filled * 10);
  machine.run({ kind: "delete-range", request: del("k0", "k10") });
  machine.run({ kind: "compact", revision: revision + 1 });
  while (fsm.compactStep(100));
  fill(filled);
  assert.equal(fsm.reader.tenant(TENANT)?.revision, revision + 11);
});

test("a checkpoint tells the applied index and copies all back to the file", (context) => {
  const path = statePath(context);
  const store = openStateStore({ mac: TEST_MAC, path });
  context.after(() => store.close());
  const machine = machineOn(store);
  assert.equal(store.checkpoint(), 1);
  machine.run({ kind: "put", request: put("needle-in-the-file", "v") });
  assert.equal(readFileSync(path).includes("needle-in-the-file"), false);
  assert.equal(store.checkpoint(), 2);
  assert.equal(readFileSync(path).includes("needle-in-the-file"), true);
});

test("a sync tells the applied index and copies nothing back", async (context) => {
  const path = statePath(context);
  const store = openStateStore({ mac: TEST_MAC, path });
  context.after(() => store.close());
  const machine = machineOn(store);
  assert.equal(await store.sync(), 1);
  machine.run({ kind: "put", request: put("needle-in-the-file", "v") });
  assert.equal(await store.sync(), 2);
  assert.equal(readFileSync(path).includes("needle-in-the-file"), false);
});

test("an open snapshot does not keep a checkpoint from telling its index", (context) => {
  const store = openStateStore({ mac: TEST_MAC, path: statePath(context) });
  context.after(() => store.close());
  const machine = machineOn(store);
  const snapshot = machine.fsm.reader.snapshot();
  machine.run({ kind: "put", request: put("a", "v") });
  assert.equal(store.checkpoint(), 2);
  snapshot.close();
});

test("compacted and deleted bytes are overwritten, and unused pages given back", (context) => {
  const path = statePath(context);
  const store = openStateStore({ mac: TEST_MAC, path });
  context.after(() => store.close());
  const machine = machineOn(store);
  const batch = (name: string): void => {
    const { fsm } = machine;
    const proposals = Array.from({ length: 5000 }, (_, i) =>
      proposal({ kind: "put", request: put(`${name}${i}`, `plain-needle-${"x".repeat(2000)}`) }),
    );
    fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
  };
  batch("k");
  store.checkpoint();
  const full = store.size();
  assert.ok(full.total >= full.inUse && full.inUse > 8_000_000, JSON.stringify(full));
  machine.run({ kind: "delete-range", request: del("\0", "\0") });
  const revision = machine.fsm.reader.tenant(TENANT)?.revision ?? 0;
  machine.run({ kind: "put", request: put("last", "v") });
  machine.run({ kind: "compact", revision: revision + 1 });
  while (machine.fsm.compactStep(200));
  store.checkpoint();
  assert.equal(readFileSync(path).includes("plain-needle"), false);
  assert.ok(store.size().total < full.total * 0.7, JSON.stringify([full, store.size()]));
});
