import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import {
  CLUSTER_SCOPE,
  type Command,
  type TenantCompaction,
  type TenantId,
  key,
  tenantId,
} from "../../src/core/types/mod.ts";
import { AutoCompaction } from "../../src/node/auto-compaction.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { ACTOR, type Machine, OTHER, TENANT, machineOn, put } from "../fsm/fixtures.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { FakeCluster } from "./fake-cluster.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const START = 1_700_000_000_000;

interface Stand {
  readonly machine: Machine;
  readonly asked: { readonly tenant: TenantId; readonly revision: number }[];
  now: number;
  /** Answers what was asked, or fails it. */
  failure: Error | undefined;
  /** Passes `ms` in ticks of `tickMs`; `each` comes before each tick. */
  pass(ms: number, tickMs?: number, each?: () => void): Promise<void>;
  /** Another leader begins. */
  changeLeader(): void;
  set(tenant: TenantId, compaction: TenantCompaction): void;
  compacted(tenant?: TenantId): number;
}

function standOf(autoCompaction?: TenantCompaction): Stand {
  const machine = machineOn(createMemoryBackend());
  const lead = (): AutoCompaction =>
    new AutoCompaction({
      state: machine.fsm.reader,
      clock: { now: () => stand.now },
      logger: silentLogger,
      autoCompaction,
      propose(tenant, command) {
        assert.equal(command.kind, "compact");
        stand.asked.push({ tenant, revision: command.revision });
        if (stand.failure !== undefined) return Promise.reject(stand.failure);
        return Promise.resolve(machine.run(command, { tenant, time: stand.now }));
      },
    });
  let leader: AutoCompaction | undefined;
  const stand: Stand = {
    machine,
    asked: [],
    now: START,
    failure: undefined,
    async pass(ms, tickMs = SECOND, each = () => undefined) {
      for (const end = stand.now + ms; stand.now < end; stand.now += tickMs) {
        each();
        (leader ??= lead()).tick();
        await turn();
      }
    },
    changeLeader: () => (leader = undefined),
    set(tenant, compaction) {
      const update: Command = { kind: "tenant-update", id: tenant, compaction };
      const done = machine.run(update, { tenant: CLUSTER_SCOPE, time: stand.now });
      assert.equal(done.kind, "done");
    },
    compacted: (tenant = TENANT) => machine.fsm.reader.tenant(tenant)?.compactRevision ?? -1,
  };
  return stand;
}

function putNow({ machine, now }: Stand, tenant = TENANT): void {
  machine.run({ kind: "put", request: put("k", "v") }, { tenant, time: now });
}

describe("automatic compaction", () => {
  test("by age keeps all of the age, and little more than a tenth beyond", async () => {
    const stand = standOf();
    stand.set(TENANT, { kind: "age", seconds: HOUR / SECOND });
    const times: number[] = [];
    await stand.pass(5 * HOUR, 10 * SECOND, () => {
      if (stand.now % MINUTE === 0) {
        putNow(stand);
        times.push(stand.now);
      }
      // Revision 2 was the first put.
      const oldest = times[stand.compacted() - 2];
      if (oldest === undefined) return;
      assert.ok(oldest <= stand.now - HOUR, "what was current an hour ago is compacted");
    });
    const kept = stand.now - (times[stand.compacted() - 2] ?? 0);
    assert.ok(kept >= HOUR - MINUTE && kept <= HOUR + HOUR / 10 + 2 * MINUTE, `kept ${kept} ms`);
    // Every six minutes, from when the first revision was an hour old.
    assert.ok(stand.asked.length >= 38 && stand.asked.length <= 41, `${stand.asked.length} asked`);
  });

  test("by count keeps the newest revisions, and looks every five minutes", async () => {
    const stand = standOf();
    stand.set(TENANT, { kind: "count", revisions: 10 });
    await stand.pass(11 * MINUTE, SECOND, () => {
      if (stand.now % MINUTE === 0) for (let i = 0; i < 10; i++) putNow(stand);
    });
    // At once, when there was too little, and 5 and 10 minutes later.
    const atFive = 1 + stand.asked.length;
    assert.equal(atFive, 3);
    const { revision } = stand.machine.fsm.reader.tenant(TENANT) ?? assert.fail();
    assert.ok(revision - stand.compacted() >= 10);
    assert.deepEqual(
      stand.asked.map((one) => one.revision % 10),
      [1, 1],
    );
  });

  test("the default is for tenants without their own", async () => {
    const stand = standOf({ kind: "count", revisions: 5 });
    const create: Command = {
      kind: "tenant-create",
      id: OTHER,
      name: "other",
      records: [],
      compaction: { kind: "count", revisions: 8 },
    };
    stand.machine.run(create, { tenant: CLUSTER_SCOPE, time: stand.now });
    for (let i = 0; i < 20; i++) for (const tenant of [TENANT, OTHER]) putNow(stand, tenant);
    await stand.pass(2 * SECOND);
    assert.equal(stand.compacted(), 16);
    assert.equal(stand.compacted(OTHER), 13);
  });

  test("without a setting, or suspended, nothing is compacted", async () => {
    const stand = standOf();
    for (let i = 0; i < 20; i++) putNow(stand);
    await stand.pass(HOUR, MINUTE);
    stand.set(TENANT, { kind: "count", revisions: 1 });
    const suspend: Command = { kind: "tenant-update", id: TENANT, suspended: true };
    stand.machine.run(suspend, { tenant: CLUSTER_SCOPE });
    await stand.pass(HOUR, MINUTE);
    assert.deepEqual(stand.asked, []);
    const resume: Command = { ...suspend, suspended: false };
    stand.machine.run(resume, { tenant: CLUSTER_SCOPE });
    await stand.pass(2 * SECOND);
    assert.equal(stand.compacted(), 20);
  });

  test("a new setting counts at once", async () => {
    const stand = standOf();
    stand.set(TENANT, { kind: "count", revisions: 100 });
    for (let i = 0; i < 20; i++) putNow(stand);
    await stand.pass(2 * SECOND);
    stand.set(TENANT, { kind: "count", revisions: 3 });
    await stand.pass(2 * SECOND);
    assert.equal(stand.compacted(), 18);
  });

  test("who leads next goes on where the last one was", async () => {
    const stand = standOf();
    stand.set(TENANT, { kind: "age", seconds: 600 });
    putNow(stand);
    await stand.pass(5 * MINUTE);
    putNow(stand);
    stand.changeLeader();
    await stand.pass(5 * MINUTE + 30 * SECOND);
    // Of the first leader's time, which the second has not seen pass.
    assert.equal(stand.compacted(), 2);
  });

  test("what failed is proposed again, and nothing twice at a time", async () => {
    const stand = standOf();
    stand.set(TENANT, { kind: "count", revisions: 1 });
    for (let i = 0; i < 9; i++) putNow(stand);
    stand.failure = new Error("no leader");
    await stand.pass(3 * SECOND);
    assert.equal(stand.asked.length, 3);
    stand.failure = undefined;
    await stand.pass(2 * SECOND);
    assert.equal(stand.compacted(), 9);
    assert.equal(stand.asked.length, 4);
  });

  test("one tick looks at a few of many tenants, and a round comes to all of them", async () => {
    const stand = standOf({ kind: "count", revisions: 1 });
    const ids: TenantId[] = [];
    for (let n = 0; n < 60; n++) {
      const id = tenantId(`00000000-0000-4000-8000-${String(n).padStart(12, "0")}`);
      const create: Command = { kind: "tenant-create", id, name: `t${n}`, records: [] };
      stand.machine.run(create, { tenant: CLUSTER_SCOPE });
      for (let i = 0; i < 3; i++) putNow(stand, id);
      ids.push(id);
    }
    await stand.pass(100, 100);
    assert.equal(stand.asked.length, 16);
    await stand.pass(4 * 100, 100);
    assert.equal(new Set(stand.asked.map(({ tenant }) => tenant)).size, 60);
    for (const id of ids) assert.equal(stand.compacted(id), 3);
  });
});

test("a cluster compacts by itself, also after its leader has gone", async () => {
  const cluster = new FakeCluster({ seed: 3 });
  const first = await cluster.prepare();
  const compaction = { kind: "age", seconds: 20 } as const;
  await cluster.run(first, { kind: "tenant-update", id: TENANT, compaction }, CLUSTER_SCOPE);
  for (const member of [cluster.members[0], cluster.members[1]]) {
    for (let i = 0; i < 5; i++) await cluster.put(member ?? first, "k", String(i));
  }
  const wholly = cluster.members[0]?.node.state.tenant(TENANT)?.revision ?? 0;
  cluster.crash(first);
  const second = await cluster.elect();
  assert.notEqual(second, first);
  await cluster.put(second, "k", "last");
  await cluster.time.run(25_000);
  cluster.start(first);
  await cluster.settle();
  for (const { node } of cluster.members) {
    const info = node.state.tenant(TENANT);
    assert.ok(info !== undefined && info.compactRevision >= wholly);
    assert.deepEqual(info.usage, { keys: 1, leases: 0, bytes: 5, liveBytes: 5 });
    assert.equal(node.state.history(TENANT, key("k"), 0, 1)[0]?.actor.subject, ACTOR.subject);
  }
  assert.deepEqual(cluster.fatals, []);
  cluster.stop();
});
