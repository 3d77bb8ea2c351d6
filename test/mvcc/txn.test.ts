import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ApplyResult,
  type Compare,
  type Guard,
  type RequestOp,
  type TxnRequest,
  key,
  leaseId,
  revision,
} from "../../src/core/types/mod.ts";
import { type Machine, TENANT, del, machineOn, put, range, tempStore } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";

const fresh = (): Machine => machineOn(createMemoryBackend());
const P = (name: string, value = "v"): RequestOp => ({ kind: "put", request: put(name, value) });
const D = (name: string, end = ""): RequestOp => ({
  kind: "delete-range",
  request: del(name, end),
});
const R = (name: string, at = 0): RequestOp => ({
  kind: "range",
  request: range(name, "", { revision: at }),
});
const always = (success: RequestOp[]): TxnRequest => ({ compare: [], success, failure: [] });

function run(machine: Machine, request: TxnRequest, guards: readonly Guard[] = []): ApplyResult {
  return machine.run({ kind: "txn", request, guards });
}

test("a failing operation leaves nothing of the transaction behind", () => {
  const machine = fresh();
  const lease = leaseId(9n);
  const bad: RequestOp[] = [
    { kind: "put", request: put("b", "v", { lease }) },
    { kind: "put", request: put("b", "", { ignoreValue: true }) },
    R("b", 99),
  ];
  for (const op of bad) {
    const nested: RequestOp = { kind: "txn", request: always([op]) };
    assert.equal(run(machine, always([P("a"), nested])).kind, "error");
    assert.equal(machine.fsm.reader.tenant(TENANT)?.revision, 1);
    const found = machine.fsm.reader.range(TENANT, range("a"));
    assert.equal(found.ok && found.value.count, 0);
  }
});

test("compares, nested ones too, see the state before the transaction", () => {
  const machine = fresh();
  const absent: Compare = {
    target: "version",
    key: key("a"),
    rangeEnd: key(""),
    result: "equal",
    operand: 0,
  };
  const nested: RequestOp = {
    kind: "txn",
    request: { compare: [absent], success: [P("b")], failure: [P("c")] },
  };
  run(machine, always([P("a"), nested]));
  const found = machine.fsm.reader.range(TENANT, range("a", "z"));
  assert.deepEqual(found.ok && found.value.kvs.map((kv) => kv.key), ["a", "b"]);
});

test("sub-responses carry the revision as etcd's, nested ones none", () => {
  const machine = fresh();
  const nested: RequestOp = { kind: "txn", request: always([P("b")]) };
  const found = run(machine, always([R("a"), P("a"), R("a"), D("x"), nested]));
  assert.ok(found.kind === "txn");
  assert.equal(found.revision, 2);
  assert.deepEqual(
    found.response.responses.map((response) => response.revision),
    [1, 2, 2, 2, 0],
  );
  const subs = machine.changes[0]?.events.map(({ sub, kv }) => [sub, kv.key, kv.modRevision]);
  assert.deepEqual(subs, [
    [0, "a", 2],
    [1, "b", 2],
  ]);
});

test("a negative revision inside a transaction is compacted", () => {
  const machine = fresh();
  machine.run({ kind: "put", request: put("a", "v") });
  machine.run({ kind: "compact", revision: 1 });
  assert.deepEqual(run(machine, always([R("a", -1)])), { kind: "error", code: "compacted" });
});

test("a transaction without effect keeps the revision", () => {
  const machine = fresh();
  const found = run(machine, always([R("a"), D("a", "z")]));
  assert.ok(found.kind === "txn" && found.revision === 1);
  assert.equal(machine.changes.length, 0);
});

test("a decided compare picks the branch", () => {
  const machine = fresh();
  const request = (holds: boolean): TxnRequest => ({
    compare: [{ target: "decided", holds }],
    success: [P("yes")],
    failure: [P("no")],
  });
  run(machine, request(false));
  run(machine, request(true));
  const keys = machine.changes.map((change) => change.events[0]?.kv.key);
  assert.deepEqual(keys, ["no", "yes"]);
});

test("a guard fails after a put or delete in its range, and after a compaction past it", () => {
  const machine = fresh();
  machine.run({ kind: "put", request: put("m", "v") });
  const guard = (at: number, lo = "m", hi = "n"): Guard => ({
    range: { lo: key(lo), hi: key(hi) },
    revision: revision(at),
  });
  const outcome = (on: Guard): string => run(machine, always([]), [on]).kind;
  assert.equal(outcome(guard(1)), "guard-failed");
  assert.equal(outcome(guard(2)), "txn");
  assert.equal(outcome(guard(1, "n", "z")), "txn");
  machine.run({ kind: "delete-range", request: del("m") });
  assert.equal(outcome(guard(2)), "guard-failed");
  assert.equal(outcome(guard(3)), "txn");
  assert.equal(outcome({ ...guard(2), range: { lo: key("m"), hi: undefined } }), "guard-failed");
  for (let i = 0; i < 3; i++) machine.run({ kind: "put", request: put("x", "v") });
  machine.run({ kind: "compact", revision: 6 });
  // The delete of m may or may not have been removed by now: the guard fails either way.
  assert.equal(outcome(guard(3)), "guard-failed");
  assert.equal(outcome(guard(5)), "txn");
  assert.deepEqual(run(machine, always([P("m")]), [guard(2)]), {
    kind: "guard-failed",
    revision: 6,
  });
});

for (const where of ["memory", "SQLite"] as const) {
  test(`a key put and deleted in one revision is gone at it, in ${where}`, (context) => {
    const machine = where === "memory" ? fresh() : machineOn(tempStore(context));
    machine.run({ kind: "put", request: put("a", "old") });
    const nested = (op: RequestOp): RequestOp => ({ kind: "txn", request: always([op]) });
    run(machine, always([nested(P("a", "new")), nested(D("a"))]));
    machine.run({ kind: "put", request: put("b", "v") });
    const at = (revision: number): string => {
      const found = machine.fsm.reader.range(TENANT, range("\0", "\0", { revision }));
      return found.ok ? found.value.kvs.map((kv) => kv.key).join("") : found.code;
    };
    const events = machine.changes[1]?.events ?? [];
    for (const event of events) assert.equal(event.prevKv?.modRevision, 2);
    assert.deepEqual([events.length, at(2), at(3), at(4)], [2, "a", "", "b"]);
    machine.run({ kind: "compact", revision: 3 });
    while (machine.fsm.compactStep(1));
    assert.deepEqual([at(3), at(4)], ["", "b"]);
    assert.equal(machine.fsm.watchSource.changes(TENANT, 3, 1, 1000)[0]?.events.length, 2);
  });
}
