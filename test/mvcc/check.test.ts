import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPut, checkRange, checkTxn } from "../../src/core/mvcc/mod.ts";
import { type RequestOp, type TxnRequest, leaseId } from "../../src/core/types/mod.ts";
import { del, put, range } from "../fsm/fixtures.ts";

const P = (name: string): RequestOp => ({ kind: "put", request: put(name, "v") });
const D = (name: string, end = ""): RequestOp => ({
  kind: "delete-range",
  request: del(name, end),
});
const R = (name: string): RequestOp => ({ kind: "range", request: range(name) });
const T = (success: RequestOp[], failure: RequestOp[] = []): RequestOp => ({
  kind: "txn",
  request: { compare: [], success, failure },
});
const txn = (success: RequestOp[], failure: RequestOp[] = []): TxnRequest => ({
  compare: [],
  success,
  failure,
});

/** etcd's integration tests v3_grpc_test.go TestV3TxnDuplicateKeys, and what its source adds. */
const duplicates: readonly (readonly [string, TxnRequest, string | undefined])[] = [
  ["one put twice", txn([P("a"), P("a")]), "duplicate-key"],
  ["put and delete of it", txn([P("a"), D("a")]), "duplicate-key"],
  ["delete range over a put", txn([D("a", "c"), P("b")]), "duplicate-key"],
  ["delete range beside a put", txn([D("a", "b"), P("b")]), undefined],
  ["delete from a key on", txn([D("a", "\0"), P("z")]), "duplicate-key"],
  ["deletes may overlap", txn([D("a", "c"), D("b", "d")]), undefined],
  ["then and else are apart", txn([P("a")], [P("a")]), undefined],
  ["nested put of the parent's", txn([P("a"), T([P("a")])]), "duplicate-key"],
  ["nested delete of the parent's", txn([P("a"), T([D("a")])]), "duplicate-key"],
  ["parent's delete of a nested put", txn([D("a"), T([P("a")])]), "duplicate-key"],
  ["nested then and else put one key", txn([T([P("a")], [P("a")])]), undefined],
  ["nested put in then, delete in else", txn([T([P("a")], [D("a")])]), undefined],
  ["nested delete in then, put in else", txn([T([D("a")], [P("a")])]), undefined],
  ["nested delete in then, own put", txn([T([D("a")]), P("a")]), "duplicate-key"],
  ["two nested puts", txn([T([P("a")]), T([], [P("a")])]), "duplicate-key"],
  ["nested delete, then nested put", txn([T([D("a")]), T([P("a")])]), "duplicate-key"],
  ["nested put, then nested delete", txn([T([P("a")]), T([D("a")])]), undefined],
  ["in the failure branch too", txn([], [P("a"), P("a")]), "duplicate-key"],
  ["reads do not count", txn([R("a"), P("a"), R("a")]), undefined],
];

for (const [title, request, wanted] of duplicates) {
  test(`keys of a transaction: ${title}`, () => {
    assert.equal(checkTxn(request, 128), wanted);
  });
}

test("operations are counted per list, and nested ones share what the parent left", () => {
  const many = (count: number): RequestOp[] => Array.from({ length: count }, (_, i) => R(`k${i}`));
  assert.equal(checkTxn(txn(many(4)), 4), undefined);
  assert.equal(checkTxn(txn(many(5)), 4), "too-many-ops");
  assert.equal(checkTxn(txn(many(4), many(4)), 4), undefined);
  assert.equal(checkTxn(txn([T(many(3))]), 4), undefined);
  assert.equal(checkTxn(txn([T(many(4))]), 4), "too-many-ops");
  const compare = { target: "decided", holds: true } as const;
  const compares = { compare: [compare, compare, compare], success: [], failure: [] };
  assert.equal(checkTxn(compares, 2), "too-many-ops");
});

test("each operation of a transaction is checked, in both branches and nested", () => {
  assert.equal(checkTxn(txn([R("")]), 128), "key-empty");
  assert.equal(checkTxn(txn([], [D("")]), 128), "key-empty");
  assert.equal(checkTxn(txn([T([P("")])]), 128), "key-empty");
  assert.equal(checkTxn(txn([{ kind: "empty" }]), 128), "key-not-found");
  const on = { key: put("", "").key, rangeEnd: put("", "").key };
  const compare = { ...on, result: "equal", target: "mod", operand: 0 } as const;
  assert.equal(checkTxn({ ...txn([]), compare: [compare] }, 128), "key-empty");
});

test("a put gives a value or keeps one, and a lease likewise", () => {
  assert.equal(checkPut(put("a", "v")), undefined);
  assert.equal(checkPut(put("", "v")), "key-empty");
  assert.equal(checkPut(put("a", "v", { ignoreValue: true })), "value-provided");
  assert.equal(checkPut(put("a", "", { ignoreValue: true })), undefined);
  const lease = leaseId(1n);
  assert.equal(checkPut(put("a", "v", { lease, ignoreLease: true })), "lease-provided");
  assert.equal(checkRange(range("")), "key-empty");
});
