import assert from "node:assert/strict";
import { test } from "node:test";
import { type LeaseId, leaseId } from "../../src/core/types/mod.ts";
import { OTHER, TENANT, type Machine, machineOn, put, tempStore } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";

const ID = leaseId(2n ** 63n - 1n);
const fresh = (): Machine => machineOn(createMemoryBackend());

function grant(machine: Machine, id: LeaseId, ttl: number, leaseTime = 1000) {
  return machine.run({ kind: "lease-grant", id, ttl }, { leaseTime });
}

function expire(machine: Machine, id: LeaseId, leaseTime: number) {
  return machine.run({ kind: "lease-revoke", id, cause: "expired" }, { leaseTime });
}

test("a grant is refused for a known id, no id, and TTLs outside of the bounds", () => {
  const machine = fresh();
  assert.equal(grant(machine, ID, 5).kind, "lease-grant");
  const code = (id: bigint, ttl: number): unknown => {
    const found = grant(machine, leaseId(id), ttl);
    return found.kind === "error" ? found.code : found.kind;
  };
  assert.equal(code(ID, 5), "lease-exists");
  assert.equal(code(0n, 5), "invalid-argument");
  assert.equal(code(8n, 0), "invalid-argument");
  assert.equal(code(8n, 9_000_000_001), "lease-ttl-too-large");
  assert.equal(code(8n, 9_000_000_000), "lease-grant");
  assert.equal(code(-5n, 5), "lease-grant");
});

test("expiry holds only once the deadline has passed at apply", () => {
  const machine = fresh();
  grant(machine, ID, 5);
  machine.run({ kind: "put", request: put("k", "v", { lease: ID }) });
  assert.deepEqual(expire(machine, ID, 5999), { kind: "error", code: "conflict" });
  machine.run({ kind: "lease-renew", id: ID }, { leaseTime: 5999 });
  assert.deepEqual(expire(machine, ID, 6000), { kind: "error", code: "conflict" });
  assert.deepEqual(expire(machine, ID, 10_999), { kind: "lease-revoke", revision: 3 });
  assert.equal(machine.fsm.reader.lease(TENANT, ID, true), undefined);
  assert.deepEqual(expire(machine, ID, 10_999), { kind: "error", code: "lease-not-found" });
});

test("a renewal comes in time or not at all, and never shortens", () => {
  const machine = fresh();
  grant(machine, ID, 5);
  const renew = (leaseTime: number): unknown =>
    machine.run({ kind: "lease-renew", id: ID }, { leaseTime });
  assert.deepEqual(renew(2000), { kind: "lease-renew", revision: 1, ttl: 5 });
  // An entry that a leader before this one stamped.
  assert.deepEqual(renew(1500), { kind: "lease-renew", revision: 1, ttl: 5 });
  assert.equal(machine.fsm.reader.lease(TENANT, ID, false)?.deadline, 7000);
  assert.deepEqual(renew(7000), { kind: "lease-renew", revision: 1, ttl: 0 });
});

test("revoking deletes the attached keys in byte order, in one revision", () => {
  const machine = fresh();
  grant(machine, ID, 5);
  for (const name of ["b", "a\xff", "a"]) {
    machine.run({ kind: "put", request: put(name, "v", { lease: ID }) });
  }
  machine.run({ kind: "put", request: put("b", "v") }); // detaches
  assert.deepEqual(machine.fsm.reader.lease(TENANT, ID, true)?.keys, ["a", "a\xff"]);
  const found = machine.run({ kind: "lease-revoke", id: ID, cause: "revoked" });
  assert.deepEqual(found, { kind: "lease-revoke", revision: 6 });
  const events = machine.changes.at(-1)?.events.map(({ type, kv }) => [type, kv.key]);
  assert.deepEqual(events, [
    ["delete", "a"],
    ["delete", "a\xff"],
  ]);
});

test("a lease without keys goes without a revision", () => {
  const machine = fresh();
  grant(machine, ID, 5);
  const found = machine.run({ kind: "lease-revoke", id: ID, cause: "revoked" });
  assert.deepEqual(found, { kind: "lease-revoke", revision: 1 });
});

for (const where of ["memory", "SQLite"] as const) {
  test(`expired leases of all live tenants, earliest first, in ${where}`, (context) => {
    const backend = where === "memory" ? createMemoryBackend() : tempStore(context);
    const machine = machineOn(backend);
    const { fsm } = machine;
    assert.equal(fsm.nextLeaseDeadline(), undefined);
    machine.run(
      { kind: "tenant-create", id: OTHER, name: "other", records: [] },
      { tenant: CLUSTER_SCOPE },
    );
    grant(machine, leaseId(-1n), 9);
    grant(machine, ID, 5);
    machine.run({ kind: "lease-grant", id: leaseId(3n), ttl: 2 }, { tenant: OTHER });
    assert.equal(fsm.nextLeaseDeadline(), 3000);
    assert.deepEqual(fsm.expiredLeases(2999, 10), []);
    const both = [
      { tenant: OTHER, id: 3n },
      { tenant: TENANT, id: ID },
    ];
    assert.deepEqual(fsm.expiredLeases(6000, 10), both);
    assert.deepEqual(fsm.expiredLeases(6000, 1), both.slice(0, 1));
    machine.run({ kind: "tenant-delete", id: OTHER }, { tenant: CLUSTER_SCOPE });
    assert.deepEqual(fsm.expiredLeases(6000, 10), both.slice(1));
    assert.equal(fsm.nextLeaseDeadline(), 6000);
    const listed = fsm.reader.leases(TENANT).map(({ id, grantedTtl }) => [id, grantedTtl]);
    assert.deepEqual(listed, [
      [ID, 5],
      [-1n, 9],
    ]);
  });
}
