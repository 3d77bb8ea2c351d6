import assert from "node:assert/strict";
import { test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import { CLUSTER_SCOPE, type LeaseId, leaseId, memberId } from "../../src/core/types/mod.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import {
  type Machine,
  TENANT,
  del,
  entryOf,
  machineOn,
  put,
  range,
  statePath,
} from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";

/** 2025-11-13: lease deadlines of version 1 were times of day. */
const DAY = 1_763_000_000_000;

/** Takes out of a file of this version what version 4 added. */
function takeBackVersion4(file: SqliteDatabase.Database): void {
  file.exec("ALTER TABLE scope DROP COLUMN credential_revision");
  file.pragma("user_version = 3");
}

/** Takes out of a file of this version what versions 3 and 4 added. */
function takeBackVersion3(file: SqliteDatabase.Database): void {
  takeBackVersion4(file);
  const added = ["suspended", "lease_floor", "limits", "compaction", "keys", "leases"];
  for (const column of [...added, "appended", "garbage", "compact_garbage"]) {
    file.exec(`ALTER TABLE scope DROP COLUMN ${column}`);
  }
  file.exec("ALTER TABLE history DROP COLUMN garbage");
  file.pragma("user_version = 2");
}

/** Makes a state file as version 1 left it: without what version 2 added, and with its deadlines. */
function makeVersion1(
  path: string,
  leases: readonly (readonly [LeaseId, number, number])[],
): number {
  const store = openStateStore({ path });
  const { fsm, run } = machineOn(store);
  for (const [id, ttl] of leases) run({ kind: "lease-grant", id, ttl });
  run({ kind: "put", request: put("k", "v", { lease: leases[0]?.[0] ?? leaseId(0n) }) });
  const { appliedIndex } = fsm;
  store.close();
  const file = new SqliteDatabase(path);
  for (const [id, , deadline] of leases) {
    const blob = Buffer.alloc(8);
    blob.writeBigInt64BE(id);
    file.prepare("UPDATE lease SET deadline = ? WHERE id = ?").run(deadline, blob);
  }
  takeBackVersion3(file);
  file.exec(`DROP TABLE conf_state; DROP TABLE removed_member;
    DELETE FROM meta WHERE name IN ('applied_term', 'lease_time')`);
  file.pragma("user_version = 1");
  file.close();
  return appliedIndex;
}

test("a file of version 1 is taken on, with all that it holds", (context) => {
  const path = statePath(context);
  const index = makeVersion1(path, [[leaseId(7n), 60, DAY + 40_000]]);
  // The second time it is one of this version.
  for (const _ of [1, 2]) {
    const store = openStateStore({ path });
    const { fsm } = machineOn(store);
    assert.equal(fsm.appliedIndex, index);
    assert.equal(fsm.appliedTerm, 0);
    assert.equal(fsm.confState, undefined);
    assert.equal(fsm.reader.isRemovedMember(memberId(1n)), false);
    const found = fsm.reader.range(TENANT, range("k"));
    assert.equal(found.ok && found.value.count, 1);
    store.close();
  }
});

test("the leases of a file of version 1 end after their TTL at most, and not at once", (context) => {
  const path = statePath(context);
  // Renewed 20 s, 5 s and 100 s before the last time that any was.
  makeVersion1(path, [
    [leaseId(1n), 60, DAY - 20_000 + 60_000],
    [leaseId(2n), 10, DAY - 5_000 + 10_000],
    [leaseId(3n), 3600, DAY - 100_000 + 3_600_000],
    [leaseId(4n), 30, DAY + 30_000],
  ]);
  const store = openStateStore({ path });
  context.after(() => store.close());
  const { fsm } = machineOn(store);
  const left = fsm.reader.leases(TENANT).map(({ id, deadline }) => [id, deadline - fsm.leaseTime]);
  assert.deepEqual(left, [
    [2n, 5_000],
    [4n, 30_000],
    [1n, 40_000],
    [3n, 3_500_000],
  ]);
  // The tail of a log of version 1, whose batches have the time of day for both clocks.
  fsm.apply([entryOf(fsm.appliedIndex + 1, [], { leaseTime: DAY + 7_000 })]);
  assert.deepEqual(fsm.expiredLeases(fsm.leaseTime, 9), [{ tenant: TENANT, id: 2n }]);
});

test("without leases the clock of a file of version 1 begins at 0", (context) => {
  const path = statePath(context);
  makeVersion1(path, []);
  const store = openStateStore({ path });
  context.after(() => store.close());
  assert.equal(store.leaseTime(), 0);
});

/** Changes of all kinds, two compactions among them, of which the second is not removed wholly. */
function fill(machine: Machine, seed: number): void {
  const random = createPrng(seed);
  const { run, fsm } = machine;
  const names = ["a", "b", "long-name", "d"];
  const step = (): void => {
    const name = names[random.below(names.length)] ?? "a";
    const lease = random.below(3) === 0 ? leaseId(1n) : leaseId(0n);
    const request = put(name, "v".repeat(random.below(9)), { lease });
    const ops = [
      { kind: "delete-range", request: del("b") } as const,
      { kind: "put", request } as const,
    ];
    const kind = random.below(5);
    if (kind === 0) run({ kind: "delete-range", request: del(name, name === "a" ? "c" : "") });
    else if (kind === 1 && name !== "b") {
      run({ kind: "txn", request: { compare: [], success: ops, failure: [] }, guards: [] });
    } else run({ kind: "put", request });
  };
  run({ kind: "lease-grant", id: leaseId(1n), ttl: 60 });
  for (let i = 0; i < 30; i++) step();
  run({ kind: "compact", revision: Math.floor((fsm.reader.tenant(TENANT)?.revision ?? 0) / 2) });
  while (fsm.compactStep(16));
  for (let i = 0; i < 10; i++) step();
  run({ kind: "compact", revision: (fsm.reader.tenant(TENANT)?.revision ?? 0) - 8 });
  fsm.compactStep(2);
  for (let i = 0; i < 5; i++) step();
}

test("what tenants of a file of version 2 hold is what was counted from the start", (context) => {
  for (let seed = 1; seed <= 40; seed++) {
    const path = statePath(context);
    const store = openStateStore({ path });
    fill(machineOn(store), seed);
    store.close();
    const file = new SqliteDatabase(path);
    takeBackVersion3(file);
    file.close();
    const counted = machineOn(createMemoryBackend());
    fill(counted, seed);
    const migrated = openStateStore({ path });
    const machine = machineOn(migrated);
    const usage = (one: Machine): unknown => one.fsm.reader.tenant(TENANT)?.usage;
    assert.deepEqual(usage(machine), usage(counted), `seed ${seed}`);
    assert.notEqual(machine.fsm.reader.tenant(TENANT)?.usage.bytes, 0);
    const { revision, compactRevision } = machine.fsm.reader.tenant(TENANT) ?? assert.fail();
    for (let target = compactRevision + 1; target <= revision; target++) {
      for (const one of [machine, counted]) one.run({ kind: "compact", revision: target });
      assert.deepEqual(usage(machine), usage(counted), `seed ${seed} compacted at ${target}`);
    }
    migrated.close();
  }
});

test("credential revisions of a file of version 3 begin as in a new one", (context) => {
  const path = statePath(context);
  const store = openStateStore({ path });
  const { run } = machineOn(store);
  const revocation = {
    table: "revocation",
    id: "1",
    data: new Uint8Array(1),
    expect: "any",
  } as const;
  run({ kind: "records", changes: [revocation] });
  store.close();
  const file = new SqliteDatabase(path);
  takeBackVersion4(file);
  file.close();
  const migrated = openStateStore({ path });
  context.after(() => migrated.close());
  const fresh = machineOn(createMemoryBackend());
  const { reader } = machineOn(migrated).fsm;
  assert.equal(reader.records(TENANT, "revocation").length, 1);
  for (const scope of [CLUSTER_SCOPE, TENANT]) {
    assert.equal(reader.credentialRevision(scope), fresh.fsm.reader.credentialRevision(scope));
  }
});
