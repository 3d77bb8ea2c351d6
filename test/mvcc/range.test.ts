import assert from "node:assert/strict";
import { test } from "node:test";
import { type Key, type RangeRequest, key } from "../../src/core/types/mod.ts";
import { type Machine, TENANT, del, machineOn, put, range } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";

/** a at version 3, b at 1, c at 2; revisions 2 to 7; then d is put and deleted (8, 9). */
function seeded(): Machine {
  const machine = machineOn(createMemoryBackend());
  for (const name of ["a", "b", "c", "a", "c", "a", "d"]) {
    machine.run({ kind: "put", request: put(name, `${name}!`) });
  }
  machine.run({ kind: "delete-range", request: del("d") });
  return machine;
}

function names(machine: Machine, request: RangeRequest): string {
  const found = machine.fsm.reader.range(TENANT, request);
  if (!found.ok) return found.code;
  const { kvs, more, count } = found.value;
  return `${kvs.map((kv) => kv.key).join("")} count ${count}${more ? " more" : ""}`;
}

const all = (more: Partial<RangeRequest> = {}): RangeRequest => range("\0", "\0", more);

/** etcd-wire.md 2.3, each line of it. */
const cases: readonly (readonly [string, RangeRequest, string])[] = [
  ["single key", range("a"), "a count 1"],
  ["missing key", range("x"), " count 0"],
  ["empty key", range(""), "key-empty"],
  ["from a key on", range("b", "\0"), "bc count 2"],
  ["whole store", all(), "abc count 3"],
  ["end below the key", range("b", "a"), " count 0"],
  ["end equal to the key", range("b", "b"), " count 0"],
  ["future revision", range("a", "", { revision: 10 }), "future-revision"],
  ["revision before the first change", all({ revision: 1 }), " count 0"],
  ["past revision", all({ revision: 3 }), "ab count 2"],
  ["past revision with a key deleted since", all({ revision: 8 }), "abcd count 4"],
  ["count only", all({ countOnly: true }), " count 3"],
  ["limit", all({ limit: 2 }), "ab count 3 more"],
  ["limit met exactly", all({ limit: 3 }), "abc count 3"],
  ["descending keys", all({ sortOrder: "descend", limit: 2 }), "cb count 3 more"],
  ["version, none: limited first", all({ sortTarget: "version", limit: 1 }), "b count 3 more"],
  [
    "version, descend",
    all({ sortTarget: "version", sortOrder: "descend", limit: 1 }),
    "a count 3 more",
  ],
  ["mod, ascend", all({ sortTarget: "mod", sortOrder: "ascend" }), "bca count 3"],
  ["create, descend", all({ sortTarget: "create", sortOrder: "descend" }), "cba count 3"],
  ["filtered, then limited", all({ minModRevision: 6, limit: 1 }), "a count 3 more"],
  ["filtered below the limit", all({ minModRevision: 7, limit: 1 }), "a count 3"],
  ["max mod", all({ maxModRevision: 6 }), "bc count 3"],
  ["create bounds", all({ minCreateRevision: 3, maxCreateRevision: 3 }), "b count 3"],
  ["by value: unlimited here", all({ sortTarget: "value", limit: 1 }), "abc count 3"],
];

for (const [title, request, wanted] of cases) {
  test(`range: ${title}`, () => assert.equal(names(seeded(), request), wanted));
}

test("after a compaction its revision is readable and those before are not", () => {
  const machine = seeded();
  machine.run({ kind: "compact", revision: 5 });
  assert.equal(names(machine, all({ revision: 4 })), "compacted");
  assert.equal(names(machine, all({ revision: 5 })), "abc count 3");
  assert.equal(names(machine, all({ revision: -1 })), "abc count 3");
  while (machine.fsm.compactStep(1));
  assert.equal(names(machine, all({ revision: 5 })), "abc count 3");
});

test("keys only has no values, but a sort by value keeps them for the edge", () => {
  const machine = seeded();
  const sizes = (request: RangeRequest): number[] => {
    const found = machine.fsm.reader.range(TENANT, request);
    return found.ok ? found.value.kvs.map((kv) => kv.value.length) : [];
  };
  assert.deepEqual(sizes(all({ keysOnly: true })), [0, 0, 0]);
  assert.deepEqual(sizes(range("a", "", { keysOnly: true })), [0]);
  assert.deepEqual(sizes(all({ keysOnly: true, sortTarget: "value" })), [2, 2, 2]);
  assert.deepEqual(sizes(range("a", "", { keysOnly: true, sortTarget: "value" })), [2]);
});

test("a snapshot pages keys and counts of its own moment", () => {
  const machine = seeded();
  const snapshot = machine.fsm.reader.snapshot();
  machine.run({ kind: "delete-range", request: del("\0", "\0") });
  const page = (lo: Key, revision: number): string => {
    const bounds = { lo, hi: undefined };
    const found = snapshot.scan(TENANT, bounds, { revision, limit: 2, keysOnly: false });
    assert.ok(found.ok);
    const rest = found.value.next === undefined ? "" : ` ${page(found.value.next, revision)}`;
    return found.value.kvs.map((kv) => kv.key).join("") + rest;
  };
  assert.equal(page(key("\0"), 0), "ab c");
  assert.equal(page(key("\0"), 8), "ab cd ");
  assert.equal(page(key("\0"), 3), "ab ");
  const future = snapshot.count(
    TENANT,
    { lo: key("a"), hi: undefined },
    { revision: 99, limit: 1 },
  );
  assert.deepEqual(future, { ok: false, code: "future-revision" });
  snapshot.close();
});
