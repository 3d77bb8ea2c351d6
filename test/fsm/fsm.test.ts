import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type Command,
  type RecordChange,
  key,
  memberId,
  systemActor,
} from "../../src/core/types/mod.ts";
import { type CommittedEntry, createFsm } from "../../src/core/fsm/mod.ts";
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
  range,
  sha256,
} from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";

const fresh = (): Machine => machineOn(createMemoryBackend());
const inCluster = { tenant: CLUSTER_SCOPE };
const PUT: Command = { kind: "put", request: put("k", "v") };
const createOther: Command = { kind: "tenant-create", id: OTHER, name: "other", records: [] };

function change(id: string, data: string | undefined, over: Partial<RecordChange> = {}) {
  const made: RecordChange = {
    table: "policy",
    id,
    data: data === undefined ? undefined : bytes(data),
    expect: "any",
  };
  return { ...made, ...over };
}

function codeOf(result: ApplyResult): string {
  return result.kind === "error" ? result.code : result.kind;
}

test("a fresh tenant is at revision 1 and one tenant never moves another", () => {
  const machine = fresh();
  assert.deepEqual(machine.run(createOther, { ...inCluster, time: 5000 }), {
    kind: "done",
    policyRevision: 1,
  });
  machine.run(PUT);
  assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 2);
  assert.deepEqual(machine.fsm.reader.tenantByName("other"), {
    id: OTHER,
    name: "other",
    created: 5000,
    revision: 1,
    compactRevision: 0,
    policyRevision: 1,
    suspended: false,
    limits: {},
    compaction: { kind: "none" },
    usage: { keys: 0, leases: 0, bytes: 0, liveBytes: 0 },
  });
  const found = machine.fsm.reader.range(OTHER, range("\0", "\0"));
  assert.equal(found.ok && found.value.count, 0);
  assert.deepEqual(
    machine.fsm.reader.tenants().map(({ name }) => name),
    ["acme", "other"],
  );
});

test("tenant names and ids are unique, and only the cluster's scope makes tenants", () => {
  const machine = fresh();
  const make = (id: typeof OTHER, name: string, tenant = CLUSTER_SCOPE): string =>
    codeOf(machine.run({ kind: "tenant-create", id, name, records: [] }, { tenant }));
  assert.equal(make(OTHER, "acme"), "already-exists");
  assert.equal(make(TENANT, "new"), "already-exists");
  assert.equal(make(OTHER, "new", TENANT), "invalid-argument");
  assert.equal(codeOf(machine.run(PUT, { tenant: OTHER })), "not-found");
  assert.equal(codeOf(machine.run(PUT, inCluster)), "invalid-argument");
});

test("a deleted tenant is gone at once, its rows in slices, and its name is free", () => {
  const machine = fresh();
  for (let i = 0; i < 10; i++) machine.run({ kind: "put", request: put(`k${i}`, "v") });
  machine.run({ kind: "records", changes: [change("p", "row")] });
  const { fsm } = machine;
  const proposals = [proposal({ kind: "tenant-delete", id: TENANT }, inCluster)];
  const batch = fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
  assert.deepEqual(batch.tenantsDeleted, [TENANT]);
  assert.equal(fsm.reader.tenant(TENANT), undefined);
  assert.deepEqual(fsm.reader.range(TENANT, range("k1")), { ok: false, code: "not-found" });
  assert.equal(fsm.watchSource.revisions(TENANT), undefined);
  assert.equal(fsm.reader.policyRevision(TENANT), 0);
  assert.equal(codeOf(machine.run(PUT)), "not-found");
  machine.run({ ...createOther, name: "acme" } as Command, inCluster);
  let steps = 0;
  while (fsm.compactStep(3)) steps += 1;
  assert.ok(steps >= 7, `20 rows took ${steps} slices`);
  const found = fsm.reader.range(OTHER, range("\0", "\0", { countOnly: true }));
  assert.equal(found.ok && found.value.count, 0);
});

test("the records of a deleted tenant, its wrapped keys, go with the same entry", () => {
  const backend = createMemoryBackend();
  const machine = machineOn(backend);
  const slot = backend.scopes().find((scope) => scope.id === TENANT)?.slot ?? 0;
  const key = change("k", "wrapped", { table: "wrapped-key" });
  machine.run({ kind: "records", changes: [key] });
  assert.equal(backend.records(slot, "wrapped-key").length, 1);
  machine.run({ kind: "tenant-delete", id: TENANT }, inCluster);
  assert.deepEqual(backend.records(slot, "wrapped-key"), []);
});

test("removal goes on after a restart in the middle of the compacted revision", () => {
  const backend = createMemoryBackend();
  const machine = machineOn(backend);
  const slot = backend.scopes().find((scope) => scope.id === TENANT)?.slot ?? 0;
  const all = ["a", "b", "c", "d", "e"].map((name) => {
    return { kind: "put", request: put(name, "v") } as const;
  });
  const request = { compare: [], success: all, failure: [] };
  machine.run({ kind: "txn", request, guards: [] });
  machine.run({ kind: "txn", request, guards: [] });
  machine.run({ kind: "compact", revision: 3 });
  // Five changes before the compacted revision's own five: the second slice ends inside of those.
  machine.fsm.compactStep(4);
  machine.fsm.compactStep(4);
  const after = machineOn(backend);
  while (after.fsm.compactStep(4));
  const left = backend.marks(slot, { revision: 0, sub: -1 }, { to: 9, limit: 99 });
  assert.deepEqual(
    left.map(({ revision, sub }) => [revision, sub]),
    [0, 1, 2, 3, 4].map((sub) => [3, sub]),
  );
});

test("a command checked against another policy revision changes nothing", () => {
  const machine = fresh();
  assert.equal(machine.fsm.reader.policyRevision(TENANT), 1);
  assert.equal(machine.run(PUT, { policyRevision: 1 }).kind, "put");
  const moved = machine.run({ kind: "records", changes: [change("a", "1"), change("b", "2")] });
  assert.deepEqual(moved, { kind: "done", policyRevision: 2 });
  assert.deepEqual(machine.run(PUT, { policyRevision: 1 }), {
    kind: "stale-policy",
    policyRevision: 2,
  });
  assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 2);
  assert.equal(machine.run(PUT, { policyRevision: 2 }).kind, "put");
  machine.run({ kind: "records", changes: [change("s", "1", { table: "setting" })] });
  assert.equal(machine.fsm.reader.policyRevision(TENANT), 2);
  assert.equal(machine.fsm.reader.policyRevision(CLUSTER_SCOPE), 1);
});

test("records change all or none, by what they expect", () => {
  const machine = fresh();
  const run = (...changes: RecordChange[]): string =>
    codeOf(machine.run({ kind: "records", changes }));
  const ids = (): string[] => machine.fsm.reader.records(TENANT, "policy").map(({ id }) => id);
  assert.equal(run(change("b", "1", { expect: "absent" }), change("a", "1")), "done");
  assert.equal(run(change("c", "1"), change("b", "2", { expect: "absent" })), "already-exists");
  assert.equal(run(change("c", "1"), change("x", "2", { expect: "present" })), "not-found");
  assert.deepEqual(ids(), ["a", "b"]);
  const swap = [
    change("a", undefined, { expect: "present" }),
    change("a", "2", { expect: "absent" }),
  ];
  assert.equal(run(...swap), "done");
  assert.equal(run(change("b", undefined), change("b", "3", { expect: "present" })), "not-found");
  assert.deepEqual(ids(), ["a", "b"]);
  assert.deepEqual(
    Buffer.from(machine.fsm.reader.record(TENANT, "policy", "a") ?? []).toString(),
    "2",
  );
  assert.equal(machine.fsm.reader.record(CLUSTER_SCOPE, "policy", "a"), undefined);
});

test("a batch names each table that changed once, those of a new tenant too", () => {
  const machine = fresh();
  const { fsm } = machine;
  const records = [change("a", "1"), change("b", "1"), change("k", "1", { table: "wrapped-key" })];
  const proposals = [
    proposal({ ...createOther, records } as Command, inCluster),
    proposal({ kind: "records", changes: [change("c", "1")] }, { tenant: OTHER }),
  ];
  const batch = fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
  assert.deepEqual(batch.recordChanges, [
    { scope: OTHER, table: "policy", ids: ["a", "b", "c"] },
    { scope: OTHER, table: "wrapped-key", ids: ["k"] },
  ]);
  assert.equal(fsm.reader.policyRevision(OTHER), 2);
});

test("members are kept in order of id", () => {
  const machine = fresh();
  const member = (id: bigint, name: string): Command => ({
    kind: "member",
    member: { id: memberId(id), name, peerUrls: [], clientUrls: ["https://a"], isLearner: false },
  });
  machine.run(member(2n ** 64n - 1n, "z"), inCluster);
  machine.run(member(5n, "old"), inCluster);
  machine.run(member(5n, "m"), inCluster);
  const names = machine.fsm.reader.members().map(({ id, name }) => [id, name]);
  assert.deepEqual(names, [
    [5n, "m"],
    [2n ** 64n - 1n, "z"],
  ]);
});

test("history tells who wrote each revision and when, newest first", () => {
  const machine = fresh();
  const by = (who: string, time: number) => ({ actor: systemActor(who), time });
  machine.run(PUT, by("one", 10));
  machine.run({ kind: "put", request: put("other", "v") });
  machine.run({ kind: "delete-range", request: del("k") }, by("two", 20));
  machine.run(PUT, by("three", 30));
  const shown = (before: number, limit: number): unknown[] =>
    machine.fsm.reader
      .history(TENANT, key("k"), before, limit)
      .map(({ type, kv, actor, time }) => [type, kv.modRevision, actor.subject, time]);
  const three = ["put", 5, "system:three", 30];
  const two = ["delete", 4, "system:two", 20];
  const one = ["put", 2, "system:one", 10];
  assert.deepEqual(shown(0, 10), [three, two, one]);
  assert.deepEqual(shown(5, 1), [two]);
  machine.run({ kind: "compact", revision: 4 });
  // The same before the rows are removed as after.
  for (const removed of [false, true]) {
    while (removed && machine.fsm.compactStep(10));
    assert.deepEqual(shown(0, 10), [three, two]);
    assert.deepEqual(shown(4, 10), []);
  }
  machine.run({ kind: "compact", revision: 5 });
  assert.deepEqual(shown(0, 10), [three]);
  machine.run({ kind: "delete-range", request: del("k") });
  machine.run({ kind: "put", request: put("other", "v") });
  machine.run({ kind: "compact", revision: 7 });
  assert.deepEqual(shown(0, 10), []);
});

test("the last change of a range is its newest put or delete", () => {
  const machine = fresh();
  machine.run(PUT);
  machine.run({ kind: "put", request: put("z", "v") });
  machine.run({ kind: "delete-range", request: del("k") });
  const last = (lo: string, hi?: string): number =>
    machine.fsm.reader.lastChange(TENANT, {
      lo: key(lo),
      hi: hi === undefined ? undefined : key(hi),
    });
  assert.deepEqual([last("k", "k\0"), last("a", "c"), last("a"), last("l", "zz")], [4, 0, 4, 3]);
});

test("a read-only transaction answers without an entry, and refuses writes as a bug", () => {
  const machine = fresh();
  machine.run(PUT);
  const request = {
    compare: [{ target: "decided", holds: true } as const],
    success: [{ kind: "range", request: range("k") } as const],
    failure: [],
  };
  const found = machine.fsm.reader.readTxn(TENANT, request);
  assert.ok(found.ok && found.value.succeeded);
  assert.equal(found.value.responses[0]?.revision, 2);
  const late = { kind: "range", request: range("k", "", { revision: 9 }) } as const;
  assert.deepEqual(machine.fsm.reader.readTxn(TENANT, { ...request, success: [late] }), {
    ok: false,
    code: "future-revision",
  });
  const write = { ...request, failure: [{ kind: "put", request: put("k", "w") } as const] };
  assert.throws(() => machine.fsm.reader.readTxn(TENANT, write), /more than ranges/);
});

test("entries are applied once and in order", () => {
  const { fsm } = fresh();
  const entry = (index: number): CommittedEntry => entryOf(index, [proposal(PUT)]);
  fsm.apply([entry(fsm.appliedIndex + 1), entry(fsm.appliedIndex + 5)]);
  assert.throws(() => fsm.apply([entry(fsm.appliedIndex)]), /applied twice/);
  assert.throws(() => fsm.apply([entry(90), entry(90)]), /applied twice/);
  assert.deepEqual(fsm.apply([]).results, []);
  // An entry without proposals, such as a new leader's, still moves the index.
  fsm.apply([{ index: 100, term: 2, time: 0, leaseTime: 0, proposals: [] }]);
  assert.equal(fsm.appliedIndex, 100);
});

test("a batch that the backend refuses leaves nothing and can be applied again", () => {
  const backend = createMemoryBackend();
  const machine = machineOn(backend);
  const failing = { ...backend, setApplied: () => assert.fail("disk full") };
  const before = machine.fsm.appliedIndex;
  const fsm = createFsm(failing, sha256);
  const entry = entryOf(before + 1, [proposal(PUT)]);
  assert.throws(() => fsm.apply([entry]), /disk full/);
  assert.equal(fsm.appliedIndex, before);
  assert.equal(fsm.reader.tenant(TENANT)?.revision, 1);
  assert.equal(machine.fsm.apply([entry]).results[0]?.[0]?.kind, "put");
  assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 2);
});
