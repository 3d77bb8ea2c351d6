import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import { CLUSTER_SCOPE, type Command, type TenantId, tenantId } from "../../src/core/types/mod.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import {
  type Machine,
  OTHER,
  TENANT,
  entryOf,
  machineOn,
  proposal,
  put,
  range,
  statePath,
} from "../fsm/fixtures.ts";
import { TEST_MAC } from "./test-mac.ts";

const PAGE_BYTES = 4096;
const AGAIN = tenantId("33333333-3333-4333-8333-333333333333");
const inCluster = { tenant: CLUSTER_SCOPE };

const create = (id: TenantId): Command => ({
  kind: "tenant-create",
  id,
  name: "other",
  records: [],
});

/** `count` keys in one entry, from the number `first` on. */
function fill({ fsm }: Machine, tenant: TenantId, count: number, first = 0): void {
  const puts = Array.from({ length: count }, (_, i): Command => {
    return { kind: "put", request: put(`key-${first + i}`, "v".repeat(500)) };
  });
  const proposals = puts.map((command) => proposal(command, { tenant }));
  fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
}

/** Frames of the write-ahead log since it last began anew. */
function framesOf(database: SqliteDatabase.Database): number {
  const [size] = database.pragma("wal_checkpoint(NOOP)") as { log: number }[];
  return size?.log ?? 0;
}

async function idle(store: StateStore): Promise<void> {
  while (store.isCopying()) await turn();
}

test("what is removed is copied back in pieces, what is put when the log is long", async (context) => {
  const pages = 512;
  const path = statePath(context);
  const store = openStateStore({
    mac: TEST_MAC,
    path,
    commit: "later",
    walBytes: pages * PAGE_BYTES,
  });
  context.after(() => store.close());
  const machine = machineOn(store);
  machine.run(create(OTHER), inCluster);
  for (let at = 0; at < 5000; at += 100) {
    fill(machine, OTHER, 100, at);
    machine.fsm.flush();
    await idle(store);
  }
  const watcher = new SqliteDatabase(path);
  context.after(() => watcher.close());
  watcher.prepare("SELECT count(*) FROM meta").get();

  /** Commits until the thread is asked to copy; the length of the log before and after the last. */
  const untilCopied = async (work: () => void): Promise<{ before: number; after: number }> => {
    store.checkpoint();
    let before = 0;
    for (;;) {
      work();
      machine.fsm.flush();
      const after = framesOf(watcher);
      if (store.isCopying()) {
        await idle(store);
        return { before, after };
      }
      before = after;
    }
  };
  let next = 0;
  const written = await untilCopied(() => fill(machine, TENANT, 10, (next += 10)));
  assert.ok(written.before < pages && written.after >= pages, JSON.stringify(written));

  machine.run({ kind: "tenant-delete", id: OTHER }, inCluster);
  machine.fsm.flush();
  const removed = await untilCopied(() => assert.ok(machine.fsm.compactStep(16)));
  assert.ok(removed.before < pages / 4 && removed.after >= pages / 4, JSON.stringify(removed));
});

test("removal goes on after a crash, and a new tenant of the name sees nothing of it", (context) => {
  const path = statePath(context);
  let store = openStateStore({ mac: TEST_MAC, path, commit: "later" });
  context.after(() => store.close());
  let machine = machineOn(store);
  machine.run(create(OTHER), inCluster);
  for (let at = 0; at < 3; at++) fill(machine, OTHER, 200);
  machine.run({ kind: "tenant-delete", id: OTHER }, inCluster);
  machine.run(create(AGAIN), inCluster);
  fill(machine, AGAIN, 50, 1000);
  const { usage } = machine.fsm.reader.tenant(AGAIN) ?? assert.fail();
  const seen = (): unknown => {
    const read = machine.fsm.reader.range(AGAIN, range("\0", "\0", { countOnly: true }));
    return read.ok ? read.value.count : read;
  };
  const rowsLeft = (): number => {
    const database = new SqliteDatabase(path, { readonly: true });
    // The slot of the deleted tenant: the second that was made.
    const count = (table: string): number =>
      database.prepare<[], number>(`SELECT count(*) FROM ${table} WHERE slot = 2`).pluck().get() ??
      0;
    const total = ["current", "history", "lease", "record", "scope"].map(count);
    database.close();
    return total.reduce((sum, one) => sum + one, 0);
  };
  const all = 200 + 600 + 1;
  machine.fsm.flush();
  assert.equal(rowsLeft(), all);

  let left = all;
  // Each time some is committed, and some more that the crash takes back.
  for (let crash = 0; left > 0; crash++) {
    assert.ok(crash < all / (5 * 16) + 1);
    for (let step = 0; step < 5; step++) machine.fsm.compactStep(16);
    machine.fsm.flush();
    const committed = rowsLeft();
    assert.ok(committed < left, `${committed} rows`);
    machine.fsm.compactStep(16);
    // Closing does not flush.
    store.close();
    store = openStateStore({ mac: TEST_MAC, path, commit: "later" });
    machine = machineOn(store);
    assert.equal(rowsLeft(), committed);
    left = committed;
    assert.equal(seen(), 50);
    assert.deepEqual(machine.fsm.reader.tenant(AGAIN)?.usage, usage);
  }
  const database = new SqliteDatabase(path, { readonly: true });
  context.after(() => database.close());
  // No value outlives its history row, or the other way round.
  assert.equal(database.prepare("SELECT count(*) FROM sealed").pluck().get(), 50);
  assert.equal(database.prepare("SELECT count(*) FROM history").pluck().get(), 50);
});
