import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type RequestOp,
  type TenantLimits,
  leaseId,
  tenantId,
} from "../../src/core/types/mod.ts";
import { createFsm } from "../../src/core/fsm/mod.ts";
import {
  type Machine,
  OTHER,
  TENANT,
  del,
  entryOf,
  machineOn,
  proposal,
  put,
  range,
  sha256,
  tempStore,
} from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";

const fresh = (): Machine => machineOn(createMemoryBackend());
const inCluster = { tenant: CLUSTER_SCOPE };
const PUT: Command = { kind: "put", request: put("k", "v") };
const GRANT: Command = { kind: "lease-grant", id: leaseId(7n), ttl: 10 };

type Update = Omit<Extract<Command, { readonly kind: "tenant-update" }>, "kind" | "id">;

function update(machine: Machine, change: Update, time?: number): ApplyResult {
  const command: Command = { kind: "tenant-update", id: TENANT, ...change };
  return machine.run(command, { ...inCluster, ...(time !== undefined && { time }) });
}

function said(result: ApplyResult): string {
  if (result.kind !== "error") return result.kind;
  return result.detail === undefined ? result.code : `${result.code}: ${result.detail}`;
}

const putOf = (name: string, value = ""): Command => ({ kind: "put", request: put(name, value) });
const usageOf = (machine: Machine) => machine.fsm.reader.tenant(TENANT)?.usage;

function limited(limits: TenantLimits): Machine {
  const machine = fresh();
  assert.equal(said(update(machine, { limits })), "done");
  return machine;
}

describe("quotas", () => {
  test("bytes are those of all that can be read, and puts over them are refused", () => {
    const machine = limited({ bytesMax: 10 });
    assert.equal(said(machine.run(putOf("k", "1234"))), "put");
    assert.equal(said(machine.run(putOf("k", "5678"))), "put");
    assert.deepEqual(usageOf(machine), { keys: 1, leases: 0, bytes: 10, liveBytes: 5 });
    const { revision } = machine.fsm.reader.tenant(TENANT) ?? assert.fail();
    // A smaller value as well: what it replaces stays.
    for (const command of [putOf("k", ""), putOf("m", "")]) {
      assert.equal(said(machine.run(command)), "no-space");
    }
    assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, revision);
    assert.equal(said(machine.run({ kind: "delete-range", request: del("k") })), "delete-range");
    assert.deepEqual(usageOf(machine), { keys: 0, leases: 0, bytes: 11, liveBytes: 0 });
    assert.equal(said(machine.run(putOf("k", ""))), "no-space");
    machine.run({ kind: "compact", revision: revision + 1 });
    assert.deepEqual(usageOf(machine), { keys: 0, leases: 0, bytes: 0, liveBytes: 0 });
    assert.equal(said(machine.run(putOf("k", "123456789"))), "put");
  });

  test("a transaction is refused for the branch that runs, and as a whole", () => {
    const machine = limited({ bytesMax: 10 });
    const ops = (...list: readonly RequestOp[]) => list;
    const small: RequestOp = { kind: "put", request: put("a", "1") };
    const large: RequestOp = { kind: "put", request: put("b", "123456789") };
    const nested = (op: RequestOp): RequestOp => ({
      kind: "txn",
      request: { compare: [], success: [op], failure: [] },
    });
    const txn = (success: readonly RequestOp[], failure: readonly RequestOp[]): Command => {
      return { kind: "txn", request: { compare: [], success, failure }, guards: [] };
    };
    assert.equal(said(machine.run(txn(ops(small, nested(large)), ops()))), "no-space");
    assert.deepEqual(usageOf(machine)?.keys, 0);
    assert.equal(said(machine.run(txn(ops(small), ops(large)))), "txn");
    assert.equal(said(machine.run(txn(ops(nested(large)), ops()))), "no-space");
    const free: RequestOp = { kind: "delete-range", request: del("a") };
    assert.equal(said(machine.run(txn(ops(free, nested(large)), ops()))), "no-space");
    assert.equal(said(machine.run(txn(ops(free), ops()))), "txn");
  });

  test("keys: a new one too many is refused, others and exchanges are not", () => {
    const machine = limited({ keysMax: 2 });
    for (const name of ["a", "b"]) assert.equal(said(machine.run(putOf(name))), "put");
    assert.equal(said(machine.run(putOf("c"))), "quota-exceeded: keys: 2");
    assert.equal(said(machine.run(putOf("a", "again"))), "put");
    const exchange = (...names: readonly string[]): Command => ({
      kind: "txn",
      request: {
        compare: [],
        success: [
          { kind: "delete-range", request: del("a", "b") },
          { kind: "delete-range", request: del("a") },
          ...names.map((name): RequestOp => ({ kind: "put", request: put(name, "") })),
        ],
        failure: [],
      },
      guards: [],
    });
    // What both ranges delete is deleted once.
    assert.equal(said(machine.run(exchange("c", "d"))), "quota-exceeded: keys: 2");
    assert.equal(said(machine.run(exchange("c"))), "txn");
    assert.equal(said(machine.run(exchange("d"))), "quota-exceeded: keys: 2");
    assert.equal(usageOf(machine)?.keys, 2);
    update(machine, { limits: { keysMax: 1 } });
    assert.equal(said(machine.run(putOf("c", "still mine"))), "put");
    assert.equal(said(machine.run(putOf("d"))), "quota-exceeded: keys: 1");
  });

  test("leases: counted as they are granted, revoked and expire", () => {
    const machine = limited({ leasesMax: 1 });
    assert.equal(said(machine.run(GRANT)), "lease-grant");
    const more: Command = { ...GRANT, id: leaseId(8n) };
    assert.equal(said(machine.run(more)), "quota-exceeded: leases: 1");
    assert.equal(usageOf(machine)?.leases, 1);
    machine.run({ kind: "lease-revoke", id: leaseId(7n), cause: "expired" }, { time: 20_000 });
    assert.equal(usageOf(machine)?.leases, 0);
    assert.equal(said(machine.run(more)), "lease-grant");
  });

  test("a tenant without a limit has none, and other tenants' do not count for it", () => {
    const machine = limited({ bytesMax: 0, keysMax: 0, leasesMax: 0 });
    const create: Command = { kind: "tenant-create", id: OTHER, name: "other", records: [] };
    machine.run(create, inCluster);
    for (const command of [PUT, GRANT]) {
      assert.equal(said(machine.run(command, { tenant: OTHER })), command.kind);
    }
    assert.equal(said(machine.run(PUT)), "no-space");
    update(machine, { limits: { bytesMax: undefined, keysMax: undefined } });
    assert.equal(said(machine.run(PUT)), "put");
    assert.deepEqual(machine.fsm.reader.tenant(TENANT)?.limits, { leasesMax: 0 });
  });

  test("a change of limits keeps those that it does not name", () => {
    const machine = limited({ keysMax: 1, requestsPerSecond: 5, requestBurst: 9 });
    const limitsOf = () => machine.fsm.reader.tenant(TENANT)?.limits;
    update(machine, { limits: { leasesMax: 2 } });
    update(machine, { limits: { keysMax: 3 }, suspended: false });
    update(machine, { limits: {} });
    const rates = { requestsPerSecond: 5, requestBurst: 9 };
    assert.deepEqual(limitsOf(), { keysMax: 3, leasesMax: 2, ...rates });
    const without: TenantLimits = { keysMax: 3, leasesMax: 2 };
    // Of two that each was well by itself, the later one is refused.
    const torn = update(machine, { limits: { requestsPerSecond: undefined } });
    assert.match(said(torn), /^invalid-argument: request-burst needs requests-per-second/);
    assert.deepEqual(limitsOf(), { ...without, ...rates });
    update(machine, { limits: { requestsPerSecond: undefined, requestBurst: undefined } });
    assert.deepEqual(limitsOf(), without);
  });

  test("a tenant is created with its limits", () => {
    const machine = fresh();
    const limits = { keysMax: 0, requestsPerSecond: 5 };
    const compaction = { kind: "age", seconds: 60 } as const;
    const create = { kind: "tenant-create", id: OTHER, name: "other", records: [] } as const;
    machine.run({ ...create, limits, compaction }, inCluster);
    const info = machine.fsm.reader.tenant(OTHER);
    assert.deepEqual([info?.limits, info?.compaction], [limits, compaction]);
    assert.equal(said(machine.run(PUT, { tenant: OTHER })), "quota-exceeded: keys: 0");
  });

  test("what cannot be kept is refused", () => {
    const machine = fresh();
    for (const limits of [{ bytesMax: -1 }, { keysMax: 1.5 }, { watchesMax: Number.NaN }]) {
      const result = update(machine, { limits });
      assert.match(said(result), /^invalid-argument: the limit .*Max is no whole number from 0$/);
    }
    const none = { kind: "age", seconds: 0 } as const;
    assert.match(said(update(machine, { compaction: none })), /^invalid-argument: an age/);
    const all = { kind: "count", revisions: 0 } as const;
    assert.match(said(update(machine, { compaction: all })), /^invalid-argument: a count/);
    assert.equal(said(update(machine, { name: "" })).startsWith("invalid-argument"), true);
    const inTenant = machine.run({ kind: "tenant-update", id: TENANT, limits: {} });
    assert.equal(said(inTenant).startsWith("invalid-argument"), true);
    const unknown = machine.run({ kind: "tenant-update", id: OTHER, limits: {} }, inCluster);
    assert.match(said(unknown), /^not-found/);
  });
});

describe("suspension", () => {
  test("refuses every key and lease command, and reads as before", () => {
    const machine = fresh();
    machine.run(PUT);
    machine.run(GRANT);
    update(machine, { suspended: true });
    const commands: readonly Command[] = [
      PUT,
      { kind: "delete-range", request: del("k") },
      { kind: "txn", request: { compare: [], success: [], failure: [] }, guards: [] },
      { kind: "compact", revision: 2 },
      { ...GRANT, id: leaseId(9n) },
      { kind: "lease-renew", id: leaseId(7n) },
      { kind: "lease-revoke", id: leaseId(7n), cause: "revoked" },
      { kind: "lease-revoke", id: leaseId(7n), cause: "expired" },
    ];
    for (const command of commands) {
      assert.equal(said(machine.run(command, { time: 60_000 })), "tenant-suspended", command.kind);
    }
    assert.equal(machine.fsm.reader.tenant(TENANT)?.suspended, true);
    const found = machine.fsm.reader.range(TENANT, range("k"));
    assert.equal(found.ok && found.value.count, 1);
    update(machine, { suspended: false });
    assert.equal(said(machine.run(PUT)), "put");
  });

  test("leases stand still, and have their full TTL when it ends", () => {
    for (const slices of [0, 1, 9]) {
      const machine = fresh();
      const clean = (): void => {
        for (let i = 0; i < slices; i++) machine.fsm.compactStep(1);
      };
      machine.run(GRANT, { time: 1000 });
      machine.run({ ...GRANT, id: leaseId(8n), ttl: 20 }, { time: 1000 });
      update(machine, { suspended: true }, 5000);
      clean();
      assert.deepEqual(machine.fsm.expiredLeases(1_000_000, 9), []);
      assert.equal(machine.fsm.nextLeaseDeadline(), undefined);
      update(machine, { suspended: false }, 100_000);
      clean();
      while (slices > 1 && machine.fsm.compactStep(10));
      const deadlines = machine.fsm.reader.leases(TENANT).map(({ deadline }) => deadline);
      assert.deepEqual(deadlines, [110_000, 120_000]);
      assert.deepEqual(machine.fsm.expiredLeases(109_999, 9), []);
      const renewed = machine.run({ kind: "lease-renew", id: leaseId(7n) }, { time: 105_000 });
      assert.equal(renewed.kind === "lease-renew" && renewed.ttl, 10);
      while (machine.fsm.compactStep(10));
      assert.deepEqual(
        machine.fsm.expiredLeases(120_000, 9).map(({ id }) => id),
        [7n, 8n],
      );
    }
  });
});

describe("names", () => {
  const marks = ({ fsm }: Machine): readonly (readonly [string, string])[] =>
    fsm.reader
      .records(CLUSTER_SCOPE, "former-tenant")
      .map(({ id, data }) => [id, Buffer.from(data).toString()] as const);

  test("a rename and a deletion leave a mark of the old name with the latest time", () => {
    const machine = fresh();
    assert.equal(said(update(machine, { name: "blue" }, 5000)), "done");
    assert.equal(machine.fsm.reader.tenantByName("acme"), undefined);
    assert.equal(machine.fsm.reader.tenantByName("blue")?.id, TENANT);
    assert.deepEqual(marks(machine), [["acme", "5000"]]);
    update(machine, { name: "blue" }, 6000);
    assert.deepEqual(marks(machine), [["acme", "5000"]]);
    // The clock of the next leader is behind.
    update(machine, { name: "acme" }, 4000);
    update(machine, { name: "red" }, 4500);
    assert.deepEqual(marks(machine), [
      ["acme", "5000"],
      ["blue", "4000"],
    ]);
    machine.run({ kind: "tenant-delete", id: TENANT }, { ...inCluster, time: 7000 });
    assert.deepEqual(marks(machine).at(-1), ["red", "7000"]);
  });

  test("a name in use is refused, and one given up can be given anew", () => {
    const machine = fresh();
    const create: Command = { kind: "tenant-create", id: OTHER, name: "other", records: [] };
    machine.run(create, inCluster);
    assert.equal(said(update(machine, { name: "other" })), "already-exists: tenant name");
    assert.equal(machine.fsm.reader.tenant(TENANT)?.name, "acme");
    assert.deepEqual(marks(machine), []);
    update(machine, { name: "blue" });
    const again: Command = { kind: "tenant-update", id: OTHER, name: "acme" };
    assert.equal(said(machine.run(again, inCluster)), "done");
    assert.equal(machine.fsm.reader.tenantByName("acme")?.id, OTHER);
    const names = machine.fsm.reader.tenants().map(({ name }) => name);
    assert.deepEqual(names, ["acme", "blue"]);
    assert.equal(machine.fsm.reader.tenantCount, 2);
  });
});

test("a batch tells which tenants changed, and of the marks of their names", () => {
  const { fsm } = fresh();
  const updates: readonly Command[] = [
    { kind: "tenant-update", id: TENANT, name: "blue" },
    { kind: "tenant-update", id: OTHER, suspended: true },
  ];
  const proposals = updates.map((command) => proposal(command, inCluster));
  const batch = fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
  assert.deepEqual(batch.tenantsChanged, [TENANT]);
  assert.deepEqual(batch.recordChanges, [
    { scope: CLUSTER_SCOPE, table: "former-tenant", ids: ["acme"] },
  ]);
});

test("what is told of a tenant is one object until it changes", () => {
  const machine = fresh();
  const info = machine.fsm.reader.tenant(TENANT);
  assert.equal(machine.fsm.reader.tenantByName("acme"), info);
  assert.equal(machine.fsm.reader.tenants()[0], info);
  machine.run(PUT);
  assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 2);
});

test("settings and usage are there again after a start", (context) => {
  const store = tempStore(context);
  const machine = machineOn(store);
  const limits = { bytesMax: 1000, requestsPerSecond: 1, requestBurst: 3 };
  const compaction = { kind: "count", revisions: 5 } as const;
  update(machine, { name: "blue", limits, compaction });
  for (const command of [PUT, putOf("k", "w"), { kind: "compact", revision: 3 } as const, PUT]) {
    machine.run(command);
  }
  machine.run(GRANT);
  const moved = machine.fsm.reader.tenant(TENANT);
  assert.deepEqual(moved?.usage, { keys: 1, leases: 1, bytes: 4, liveBytes: 2 });
  assert.deepEqual(createFsm(store, sha256).reader.tenant(TENANT), moved);
  update(machine, { suspended: true });
  const info = machine.fsm.reader.tenant(TENANT);
  assert.deepEqual(createFsm(store, sha256).reader.tenant(TENANT), info);
  const snapshot = machine.fsm.reader.snapshot();
  assert.deepEqual(snapshot.tenant(TENANT), info);
  snapshot.close();
});

test("the newest revision made by a time", () => {
  const machine = fresh();
  const at = (timeMs: number): number => machine.fsm.reader.revisionAt(TENANT, timeMs);
  const { created } = machine.fsm.reader.tenant(TENANT) ?? assert.fail();
  assert.deepEqual([at(created - 1), at(created), at(1e15)], [0, 1, 1]);
  for (let i = 2; i <= 9; i++) machine.run(PUT, { time: i * 10_000 });
  const times = [19_999, 20_000, 29_999, 55_000, 90_000, 1e15];
  assert.deepEqual(times.map(at), [1, 2, 2, 5, 9, 9]);
  machine.run({ kind: "compact", revision: 4 });
  while (machine.fsm.compactStep(100));
  assert.deepEqual([19_999, 39_999, 40_000, 55_000].map(at), [0, 0, 4, 5]);
  assert.equal(machine.fsm.reader.revisionAt(OTHER, 1e15), 0);
});

test("a large tenant that is removed keeps no other from its compaction", (context) => {
  const store = tempStore(context);
  const machine = machineOn(store);
  const others = Array.from({ length: 5 }, (_, n) =>
    tenantId(`00000000-0000-4000-8000-00000000000${n}`),
  );
  for (const [n, id] of others.entries()) {
    machine.run({ kind: "tenant-create", id, name: `t${n}`, records: [] }, inCluster);
  }
  for (let i = 0; i < 200; i++) machine.run(putOf(`k${i}`));
  for (const tenant of others) for (let i = 0; i < 4; i++) machine.run(PUT, { tenant });
  machine.run({ kind: "tenant-delete", id: TENANT }, inCluster);
  for (const tenant of others) machine.run({ kind: "compact", revision: 5 }, { tenant });
  // A step for each, and one in between for the one that goes.
  for (let step = 0; step < 12; step++) machine.fsm.compactStep(16);
  // By slot: that of the large one is 1.
  assert.deepEqual(
    [2, 3, 4, 5, 6].map((slot) => store.cleanRevision(slot)),
    [5, 5, 5, 5, 5],
  );
  assert.equal(machine.fsm.compactStep(16), true);
});
