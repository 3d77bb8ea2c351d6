import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { FsmBackend, HistoryRow, ScopeRow } from "../../src/core/fsm/mod.ts";
import {
  type Key,
  type KeyRange,
  type KeyValue,
  NO_LEASE,
  key,
  leaseId,
  revision,
  tenantId,
} from "../../src/core/types/mod.ts";
import { ACTOR, TENANT, bytes, tempStore } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";

/** The contract of the FsmBackend port, held by the fake and by SQLite alike. */
const backends: readonly (readonly [string, (context: TestContext) => FsmBackend])[] = [
  ["memory", () => createMemoryBackend()],
  ["SQLite", (context) => tempStore(context)],
];

const S = 3;
const row = (name: string, mod: number, over: Partial<KeyValue> = {}): KeyValue => ({
  key: key(name),
  createRevision: revision(2),
  modRevision: revision(mod),
  version: 1,
  lease: NO_LEASE,
  value: Buffer.from(`${name}@${mod}`, "latin1"),
  ...over,
});
const change = (kv: KeyValue, sub = 0, type: "put" | "delete" = "put"): HistoryRow => ({
  type,
  sub,
  kv: type === "put" ? kv : { ...kv, version: 0, value: bytes("") },
  actor: { ...ACTOR, subject: 'user:"quoted"\n\u00fc' },
  time: 1_800_000_000_123,
  hash: sub === 0 ? new Uint8Array(32).fill(7) : undefined,
  garbage: sub === 0 ? 5 : undefined,
});
const whole: KeyRange = { lo: key(""), hi: undefined };
const between = (lo: string, hi: string): KeyRange => ({ lo: key(lo), hi: key(hi) });
const keysOf = (rows: readonly KeyValue[]): string[] => rows.map((kv) => kv.key);
const wide = { limit: 0, descending: false, withValues: true };

function contract(title: string, check: (backend: FsmBackend) => void): void {
  for (const [name, make] of backends) {
    test(`${title}, in ${name}`, (context) => check(make(context)));
  }
}

contract("rows come back as they were put, in byte order", (backend) => {
  const names = ["b", "a\xff", "a", "a\0", "\0", "\xff\xff"];
  const lease = leaseId(-(2n ** 63n));
  const big = row("a", 2 ** 53 - 1, {
    version: 2 ** 40,
    lease,
    value: new Uint8Array(20_000).fill(9),
  });
  backend.transaction(() => {
    for (const name of names) backend.put(S, name === "a" ? big : row(name, 5), undefined);
    backend.put(S + 1, row("elsewhere", 5), undefined);
  });
  const found = backend.get(S, key("a"));
  assert.deepEqual(
    { ...found, value: Buffer.from(found?.value ?? []) },
    { ...big, value: Buffer.from(big.value) },
  );
  assert.equal(backend.get(S, key("missing")), undefined);
  assert.deepEqual(keysOf(backend.scan(S, whole, wide)), [
    "\0",
    "a",
    "a\0",
    "a\xff",
    "b",
    "\xff\xff",
  ]);
  assert.deepEqual(keysOf(backend.scan(S, between("a", "b"), wide)), ["a", "a\0", "a\xff"]);
  const last = backend.scan(S, whole, { limit: 2, descending: true, withValues: false });
  assert.deepEqual(keysOf(last), ["\xff\xff", "b"]);
  assert.equal(last[0]?.value.length, 0);
  assert.equal(last[0]?.modRevision, 5);
});

contract("a put replaces, with or without a change of lease, and a remove removes", (backend) => {
  const first = row("k", 2);
  const leased = row("k", 3, { version: 2, lease: leaseId(9n) });
  const again = row("k", 4, { version: 3, lease: leaseId(9n) });
  const plain = row("k", 5, { version: 4 });
  const keys = (): readonly Key[] => backend.leaseKeys(S, leaseId(9n));
  backend.transaction(() => backend.put(S, first, undefined));
  assert.deepEqual(keys(), []);
  backend.transaction(() => backend.put(S, leased, first));
  assert.deepEqual(keys(), ["k"]);
  backend.transaction(() => backend.put(S, again, leased));
  assert.deepEqual(keys(), ["k"]);
  assert.equal(backend.get(S, key("k"))?.version, 3);
  backend.transaction(() => backend.put(S, plain, again));
  assert.deepEqual(keys(), []);
  assert.equal(Buffer.from(backend.get(S, key("k"))?.value ?? []).toString(), "k@5");
  backend.transaction(() => backend.remove(S, key("k")));
  assert.equal(backend.get(S, key("k")), undefined);
});

contract("keys are counted in pages", (backend) => {
  backend.transaction(() => {
    for (let i = 10; i < 30; i++) backend.put(S, row(`k${i}`, 5), undefined);
  });
  assert.deepEqual(backend.count(S, whole, 0), { count: 20, last: undefined });
  assert.deepEqual(backend.count(S, between("k12", "k15"), 0), { count: 3, last: undefined });
  assert.deepEqual(backend.count(S, whole, 8), { count: 8, last: "k17" });
  assert.deepEqual(backend.count(S, between("k18", "k99"), 100), { count: 12, last: "k29" });
  assert.equal(backend.count(S, between("x", "z"), 4).last, undefined);
});

contract("the past is the newest change up to a revision", (backend) => {
  backend.transaction(() => {
    backend.append(S, change(row("a", 2)));
    backend.append(S, change(row("b", 2), 1));
    backend.append(S, change(row("a", 3)));
    backend.append(S, change(row("a", 4), 0, "delete"));
    backend.append(S, change(row("c", 4), 1));
    backend.append(S, change(row("c", 4), 2, "delete"));
    backend.append(S, change(row("a", 5)));
  });
  const at = (at: number): string =>
    backend
      .scanAt(S, whole, { ...wide, revision: at })
      .map((kv) => Buffer.from(kv.value).toString())
      .join(" ");
  assert.deepEqual([1, 2, 3, 4, 5, 9].map(at), [
    "",
    "a@2 b@2",
    "a@3 b@2",
    "b@2",
    "a@5 b@2",
    "a@5 b@2",
  ]);
  assert.equal(backend.countAt(S, whole, 3), 2);
  assert.equal(backend.countAt(S, whole, 4), 1);
  assert.equal(backend.countAt(S, between("a", "b"), 4), 0);
  assert.equal(backend.getAt(S, key("a"), 3)?.modRevision, 3);
  assert.equal(backend.getAt(S, key("a"), 4), undefined);
  assert.equal(backend.getAt(S, key("c"), 9), undefined);
  const down = { limit: 1, descending: true, withValues: false, revision: 5 };
  assert.deepEqual(keysOf(backend.scanAt(S, between("a", "z"), down)), ["b"]);
});

contract("history is read by revision, by key and by place", (backend) => {
  const rows = [
    change(row("a", 2)),
    change(row("b", 2), 1),
    change(row("a", 3, { version: 2, lease: leaseId(4n) })),
    change(row("a", 4), 0, "delete"),
  ];
  backend.transaction(() => rows.forEach((each) => backend.append(S, each)));
  const plain = (list: readonly HistoryRow[]): unknown[] =>
    list.map((each) => ({
      ...each,
      hash: each.hash && Buffer.from(each.hash).toString("hex"),
      kv: { ...each.kv, value: Buffer.from(each.kv.value).toString() },
    }));
  const changes = (from: number, to: number, bytesMax = 10_000): unknown[] =>
    plain(backend.changes(S, { from, to, bytesMax }));
  assert.deepEqual(changes(2, 9)[2], plain(rows)[2]);
  assert.equal(changes(2, 9).length, 4);
  assert.equal(changes(3, 3).length, 1);
  // Bytes never split a revision, and one revision always comes.
  assert.equal(changes(2, 9, 1).length, 2);
  const of = (before: number, limit: number): unknown[] =>
    backend.historyOf(S, key("a"), before, limit).map((each) => each.kv.modRevision);
  assert.deepEqual([of(0, 0), of(4, 1), of(2, 5)], [[4, 3, 2], [3], []]);
  assert.equal(backend.revisionRow(S, 3)?.hash.length, 32);
  assert.equal(backend.revisionRow(S, 9), undefined);
  assert.deepEqual(
    [
      backend.lastChange(S, whole),
      backend.lastChange(S, between("b", "b\0")),
      backend.lastChange(S, between("b", "z")),
    ],
    [4, 2, 2],
  );
  assert.equal(backend.changedAfter(S, between("b", "c"), 1), true);
  assert.equal(backend.changedAfter(S, between("b", "c"), 2), false);
  assert.equal(backend.changedAfter(S, whole, 3), true);
});

contract("places are walked and removed", (backend) => {
  backend.transaction(() => {
    for (const [name, mod, sub] of [
      ["a", 2, 0],
      ["b", 2, 1],
      ["a", 3, 0],
      ["a", 4, 0],
    ] as const) {
      backend.append(S, change(row(name, mod), sub));
    }
  });
  const marks = (revision: number, sub: number, limit: number): string =>
    backend
      .marks(S, { revision, sub }, { to: 3, limit })
      .map((mark) => `${mark.key}${mark.revision}.${mark.sub}`)
      .join(" ");
  assert.deepEqual(
    [marks(0, -1, 9), marks(2, 0, 1), marks(3, 0, 9)],
    ["a2.0 b2.1 a3.0", "b2.1", ""],
  );
  backend.transaction(() => {
    assert.equal(backend.removeBefore(S, key("a"), { revision: 4, sub: 0 }), 2);
    backend.removeChange(S, { revision: 2, sub: 1 });
  });
  assert.equal(marks(0, -1, 9), "");
  assert.equal(backend.historyOf(S, key("a"), 0, 9).length, 1);
});

contract("what throws inside a transaction leaves nothing", (backend) => {
  const fail = (): never => {
    throw new Error("stop");
  };
  assert.throws(() => {
    backend.transaction(() => {
      backend.put(S, row("k", 2), undefined);
      backend.append(S, change(row("k", 2)));
      backend.setApplied({ index: 9, term: 1, leaseTime: 0 });
      backend.nextSlot();
      fail();
    });
  }, /stop/);
  assert.equal(backend.get(S, key("k")), undefined);
  assert.equal(backend.appliedIndex(), 0);
  assert.equal(backend.revisionRow(S, 2), undefined);
  assert.deepEqual(
    backend.transaction(() => [backend.nextSlot(), backend.nextSlot()]),
    [1, 2],
  );
});

contract("a snapshot stays while the state moves on", (backend) => {
  const scope: ScopeRow = {
    slot: S,
    id: TENANT,
    name: "acme",
    created: 5,
    revision: 2,
    compactRevision: -1,
    policyRevision: 1,
    credentialRevision: 4,
    hash: new Uint8Array(32),
    compactHash: new Uint8Array(32),
    deleted: false,
    suspended: false,
    leaseFloor: 0,
    limits: { keysMax: 7 },
    compaction: { kind: "age", seconds: 60 },
    keys: 1,
    leases: 2,
    appended: 30,
    garbage: 20,
    compactGarbage: 10,
  };
  backend.transaction(() => {
    backend.putScope(scope);
    backend.put(S, row("k", 2), undefined);
  });
  const snapshot = backend.snapshot();
  backend.transaction(() => {
    backend.putScope({ ...scope, revision: 3, deleted: true });
    backend.remove(S, key("k"));
    backend.put(S, row("m", 3), undefined);
  });
  assert.equal(snapshot.scope(TENANT)?.revision, 2);
  assert.equal(snapshot.scope(tenantId("33333333-3333-4333-8333-333333333333")), undefined);
  assert.deepEqual(keysOf(snapshot.scan(S, whole, wide)), ["k"]);
  snapshot.close();
  snapshot.close();
  const later = backend.snapshot();
  assert.equal(later.scope(TENANT), undefined);
  assert.deepEqual(keysOf(later.scan(S, whole, wide)), ["m"]);
  later.close();
});

contract("a purge takes a slot's rows in slices and nobody else's", (backend) => {
  backend.transaction(() => {
    for (let i = 0; i < 5; i++) {
      backend.put(S, row(`k${i}`, 2), undefined);
      backend.append(S, change(row(`k${i}`, 2), i));
      backend.put(S + 10, row(`k${i}`, 2), undefined);
    }
    backend.putLease(S, { id: leaseId(1n), ttl: 5, deadline: 5 });
  });
  const taken: number[] = [];
  for (let removed = -1; removed !== 0;) {
    removed = backend.transaction(() => backend.purge(S, 4));
    taken.push(removed);
  }
  assert.deepEqual(taken, [4, 4, 3, 0]);
  assert.equal(backend.count(S, whole, 0).count, 0);
  assert.equal(backend.lease(S, leaseId(1n)), undefined);
  assert.equal(backend.count(S + 10, whole, 0).count, 5);
});

contract("what was created and deleted since a revision is counted by key range", (backend) => {
  // Creations and deletes of one key in turn, so that the sum depends on where it begins.
  const put = (name: string, at: number): HistoryRow => change(row(name, at));
  const gone = (name: string, at: number): HistoryRow => change(row(name, at), 0, "delete");
  const again = (name: string, at: number): HistoryRow => change(row(name, at, { version: 2 }));
  backend.transaction(() => {
    for (const each of [put("a", 2), put("b", 3), again("a", 4), gone("a", 5), put("c", 6)]) {
      backend.append(S, each);
    }
    backend.append(S, again("c", 2000));
    for (const name of ["b", "c"]) backend.put(S, row(name, 3), undefined);
  });
  // Near the latest revision by walking the revisions, far from it by the keys' versions.
  for (const upTo of [6, 2000]) {
    const net = (lo: string, hi: string | undefined, after: number): number =>
      backend.netCreated(
        S,
        { lo: key(lo), hi: hi === undefined ? undefined : key(hi) },
        { after, upTo },
      );
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map((after) => net("", undefined, after)),
      [2, 1, 0, 0, 1, 0],
    );
    assert.deepEqual([net("a", "b", 4), net("b", "d", 2), net("c\0", "d", 1)], [-1, 2, 0]);
  }
});
