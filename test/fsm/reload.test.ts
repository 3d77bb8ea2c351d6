import assert from "node:assert/strict";
import { test } from "node:test";
import { createFsm } from "../../src/core/fsm/mod.ts";
import { CLUSTER_SCOPE, leaseId } from "../../src/core/types/mod.ts";
import { OTHER, TENANT, machineOn, put, range, replaceable, sha256 } from "./fixtures.ts";
import { createMemoryBackend } from "./memory-backend.ts";

test("after a reload all is read from the state that is there now", () => {
  const theirs = createMemoryBackend();
  const leader = machineOn(theirs);
  const put1 = { kind: "put", request: put("k", "theirs") } as const;
  leader.run(put1);
  leader.run(
    { kind: "tenant-create", id: OTHER, name: "other", records: [] },
    { tenant: CLUSTER_SCOPE },
  );
  leader.run(put1, { tenant: OTHER });
  leader.run({ kind: "lease-grant", id: leaseId(4n), ttl: 5 }, { tenant: OTHER, leaseTime: 7000 });
  leader.run({ kind: "tenant-delete", id: TENANT }, { tenant: CLUSTER_SCOPE });
  const last = leader.fsm.appliedIndex + 1;
  leader.fsm.apply([
    { index: last, term: 4, time: 0, leaseTime: 0, proposals: [], confState: Uint8Array.of(9) },
  ]);

  const { backend, replace } = replaceable(createMemoryBackend());
  const mine = machineOn(backend);
  mine.run({ kind: "put", request: put("k", "mine") });
  const { fsm } = mine;
  assert.equal(fsm.reader.tenantByName("acme")?.revision, 2);
  replace(theirs);
  fsm.reload();

  assert.deepEqual(
    [fsm.appliedIndex, fsm.appliedTerm, fsm.leaseTime, fsm.confState],
    [last, 4, 7000, Uint8Array.of(9)],
  );
  assert.equal(fsm.reader.tenant(TENANT), undefined);
  assert.equal(fsm.watchSource.revisions(TENANT), undefined);
  assert.equal(fsm.reader.tenantByName("other")?.revision, 2);
  assert.deepEqual(fsm.expiredLeases(12_000, 9), [{ tenant: OTHER, id: leaseId(4n) }]);
  assert.deepEqual(fsm.chainAt(OTHER, 0), leader.fsm.chainAt(OTHER, 0));
  const found = fsm.reader.range(OTHER, range("k"));
  assert.equal(Buffer.from((found.ok && found.value.kvs[0]?.value) || []).toString(), "theirs");

  // It goes on as the other does.
  assert.throws(() => mine.fsm.apply([{ ...first(last) }]), /applied twice/);
  const twin = createFsm(theirs, sha256);
  mine.run(put1, { tenant: OTHER });
  assert.equal(fsm.appliedIndex, last + 1);
  twin.reload();
  assert.deepEqual(fsm.chainAt(OTHER, 0), twin.chainAt(OTHER, 0));
  while (fsm.compactStep(10));
  const slots = theirs.scopes().map(({ id }) => id);
  assert.deepEqual(slots.includes(TENANT), false);
});

test("removal of compacted history begins anew in the state that is there now", () => {
  const { backend, replace } = replaceable(createMemoryBackend());
  const mine = machineOn(backend);
  const write = (machine: typeof mine): void => {
    for (let i = 0; i < 5; i++) machine.run({ kind: "put", request: put("k", `${i}`) });
    machine.run({ kind: "compact", revision: 6 });
  };
  write(mine);
  while (mine.fsm.compactStep(10));
  // The same slot and the same compacted revision, and nothing removed yet.
  const theirs = createMemoryBackend();
  write(machineOn(theirs));
  const slot = theirs.scopes().find(({ id }) => id === TENANT)?.slot ?? 0;
  const rows = (): number => theirs.historyOf(slot, put("k", "").key, 0, 100).length;
  assert.equal(rows(), 5);
  replace(theirs);
  mine.fsm.reload();
  while (mine.fsm.compactStep(10));
  assert.equal(rows(), 1);
});

const first = (index: number): Parameters<ReturnType<typeof createFsm>["apply"]>[0][number] => ({
  index,
  term: 4,
  time: 0,
  leaseTime: 0,
  proposals: [],
});
