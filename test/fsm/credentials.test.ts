import assert from "node:assert/strict";
import { test } from "node:test";
import { createFsm } from "../../src/core/fsm/mod.ts";
import {
  CLUSTER_SCOPE,
  type Command,
  type RecordTable,
  type TenantId,
  leaseId,
} from "../../src/core/types/mod.ts";
import {
  type Machine,
  OTHER,
  TENANT,
  bytes,
  del,
  entryOf,
  machineOn,
  proposal,
  put,
  sha256,
  tempStore,
} from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";

/** Commands of callers whose credentials may have become worthless on their way to the log. */

const inCluster = { tenant: CLUSTER_SCOPE };
const CREATE_OTHER: Command = { kind: "tenant-create", id: OTHER, name: "other", records: [] };

function fresh(): Machine {
  const machine = machineOn(createMemoryBackend());
  machine.run(CREATE_OTHER, inCluster);
  return machine;
}

function recordOf(table: RecordTable): Command {
  return { kind: "records", changes: [{ table, id: "1", data: bytes("x"), expect: "any" }] };
}

/** Of the cluster, of TENANT and of OTHER. */
function revisions({ fsm }: Machine): readonly number[] {
  return [CLUSTER_SCOPE, TENANT, OTHER].map((scope) => fsm.reader.credentialRevision(scope));
}

const CLUSTER = [1, 1, 1];
const OWN = [0, 1, 0];
const NONE = [0, 0, 0];
const update = (change: object): Command => ({ kind: "tenant-update", id: TENANT, ...change });
const MOVES: readonly (readonly [string, TenantId, Command, readonly number[]])[] = [
  ["a revocation of the cluster", CLUSTER_SCOPE, recordOf("revocation"), CLUSTER],
  ["the record of an issuer", CLUSTER_SCOPE, recordOf("issuer"), CLUSTER],
  ["a rule of certificates", CLUSTER_SCOPE, recordOf("certificate-rule"), CLUSTER],
  ["a revocation of the tenant", TENANT, recordOf("revocation"), OWN],
  ["another name of the tenant", CLUSTER_SCOPE, update({ name: "b" }), OWN],
  ["its suspension", CLUSTER_SCOPE, update({ suspended: true }), OWN],
  ["a policy", TENANT, recordOf("policy"), NONE],
  ["a setting of the cluster", CLUSTER_SCOPE, recordOf("setting"), NONE],
  ["other limits", CLUSTER_SCOPE, update({ limits: { keysMax: 5 } }), NONE],
  ["a put", TENANT, { kind: "put", request: put("k", "v") }, NONE],
];

for (const [name, tenant, command, moves] of MOVES) {
  test(`${name} moves the credential revisions of those it concerns`, () => {
    const machine = fresh();
    const before = revisions(machine);
    machine.run(command, { tenant });
    const after = revisions(machine).map((now, at) => now - (before[at] ?? 0));
    assert.deepEqual(after, moves);
  });
}

test("a removed record moves them as well, and a refused change does not", () => {
  const machine = fresh();
  const change = { table: "revocation", id: "1", data: undefined, expect: "present" } as const;
  const before = revisions(machine);
  assert.equal(machine.run({ kind: "records", changes: [change] }).kind, "error");
  assert.deepEqual(revisions(machine), before);
  machine.run(recordOf("revocation"));
  machine.run({ kind: "records", changes: [change] });
  assert.equal(machine.fsm.reader.credentialRevision(TENANT), (before[1] ?? 0) + 2);
});

const OF_TENANTS: readonly Command[] = [
  { kind: "put", request: put("k", "v") },
  { kind: "delete-range", request: del("k") },
  { kind: "txn", request: { compare: [], success: [], failure: [] }, guards: [] },
  { kind: "compact", revision: 1 },
  { kind: "lease-grant", id: leaseId(7n), ttl: 10 },
  { kind: "lease-revoke", id: leaseId(7n), cause: "revoked" },
  { kind: "lease-renew", id: leaseId(7n) },
  recordOf("policy"),
  recordOf("revocation"),
];
const OF_OPERATORS: readonly Command[] = [
  CREATE_OTHER,
  update({ limits: { keysMax: 5 } }),
  { kind: "tenant-delete", id: TENANT },
  recordOf("issuer"),
];
const ALL = [
  ...OF_TENANTS.map((command) => [command, TENANT] as const),
  ...OF_OPERATORS.map((command) => [command, CLUSTER_SCOPE] as const),
];

for (const [at, [command, tenant]] of ALL.entries()) {
  test(`refusal 33: ${command.kind} (${at}) of a caller who was let in before a revocation`, () => {
    const machine = machineOn(createMemoryBackend());
    const { reader } = machine.fsm;
    const credentialRevision = reader.credentialRevision(tenant);
    machine.run(recordOf("revocation"), inCluster);
    const before = [reader.tenants(), revisions(machine), reader.records(tenant, "policy")];
    assert.deepEqual(machine.run(command, { tenant, credentialRevision }), {
      kind: "stale-credentials",
      credentialRevision: credentialRevision + 1,
    });
    const after = [reader.tenants(), revisions(machine), reader.records(tenant, "policy")];
    assert.deepEqual(after, before);
    const now = { tenant, credentialRevision: credentialRevision + 1 };
    assert.notEqual(machine.run(command, now).kind, "stale-credentials");
  });
}

test("in one entry, what comes behind the revocation is refused, and what comes before is not", () => {
  const { fsm } = fresh();
  const credentialRevision = fsm.reader.credentialRevision(TENANT);
  const write = proposal({ kind: "put", request: put("k", "v") }, { credentialRevision });
  const batch = [write, proposal(recordOf("revocation"), { credentialRevision }), write];
  const [results] = fsm.apply([entryOf(fsm.appliedIndex + 1, batch)]).results;
  assert.deepEqual(
    results?.map(({ kind }) => kind),
    ["put", "done", "stale-credentials"],
  );
});

test("entries of before there were credential revisions move none, whoever applies them when", () => {
  const machine = fresh();
  const before = revisions(machine);
  const { fsm } = machine;
  const changes: readonly (readonly [Command, TenantId])[] = [
    [recordOf("revocation"), TENANT],
    [recordOf("issuer"), CLUSTER_SCOPE],
    [update({ name: "b" }), CLUSTER_SCOPE],
    [update({ suspended: true }), CLUSTER_SCOPE],
  ];
  for (const [command, tenant] of changes) {
    const entry = entryOf(fsm.appliedIndex + 1, [proposal(command, { tenant })]);
    const [results] = fsm.apply([{ ...entry, movesCredentials: false }]).results;
    assert.deepEqual(results?.[0]?.kind, "done");
  }
  assert.deepEqual(revisions(machine), before);
});

test("they are there again after a start, and as they were after a batch that failed", (context) => {
  const store = tempStore(context);
  const machine = machineOn(store);
  machine.run(CREATE_OTHER, inCluster);
  for (const tenant of [TENANT, TENANT, OTHER, CLUSTER_SCOPE]) {
    machine.run(recordOf("revocation"), { tenant });
  }
  // Written with less than all of its row.
  machine.run({ kind: "put", request: put("k", "v") });
  const moved = revisions(machine);
  assert.deepEqual(moved, [2, 5, 4]);
  store.flush();
  machine.fsm.reload();
  assert.deepEqual(revisions(machine), moved);
  assert.deepEqual(revisions({ ...machine, fsm: createFsm(store, sha256) }), moved);
});
