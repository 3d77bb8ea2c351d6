import assert from "node:assert/strict";
import { test } from "node:test";
import { createPrng } from "../../src/stdx/mod.ts";
import { FakeCluster, type FakeMember, REQUEST_TIMEOUT_MS, ending } from "./fake-cluster.ts";

/**
 * Members that crash, are cut off, hand leadership round and lose messages, while all of them are
 * written to: each write is one key, so that its version tells how often it was applied.
 */

const SEEDS = 25;
const STEPS = 150;

interface Write {
  readonly name: string;
  readonly seen: { readonly ending: string };
}

async function run(seed: number): Promise<void> {
  const cluster = new FakeCluster({ seed, members: seed % 2 === 0 ? 3 : 5, snapshotEntries: 40 });
  const { below, next } = createPrng(seed);
  await cluster.prepare();
  let badness = 0;
  cluster.hub.decide(() => {
    if (next() < badness) return "drop";
    return next() < badness ? below(1500) : 1 + below(10);
  });
  const writes: Write[] = [];
  const any = (): FakeMember => cluster.members[below(cluster.members.length)] as FakeMember;
  for (let step = 0; step < STEPS; step++) {
    const member = any();
    switch (below(16)) {
      case 0:
        badness = below(4) * 0.1;
        break;
      case 1:
        if (cluster.members.filter(({ isUp }) => isUp).length * 2 > cluster.members.length + 1) {
          cluster.crash(member);
        }
        break;
      case 2:
        for (const one of cluster.members) if (!one.isUp) cluster.start(one);
        break;
      case 3:
        cluster.isolate(member);
        break;
      case 4:
        cluster.hub.heal();
        break;
      case 5:
        if (cluster.leader !== undefined) void ending(cluster.leader.node.moveLeader(member.id));
        break;
      default: {
        if (!member.isUp) break;
        const name = `k${writes.length}`;
        writes.push({ name, seen: cluster.later(member, name) });
      }
    }
    await cluster.time.run(below(120));
  }
  await check(cluster, writes, seed);
}

async function check(cluster: FakeCluster, writes: readonly Write[], seed: number): Promise<void> {
  cluster.hub.heal();
  cluster.hub.decide(() => undefined);
  for (const one of cluster.members) if (!one.isUp) cluster.start(one);
  await cluster.time.run(REQUEST_TIMEOUT_MS + 1000);
  await cluster.settle();
  assert.deepEqual(cluster.fatals, [], `seed ${seed}`);
  const done = writes.filter(({ seen }) => seen.ending === "put");
  assert.ok(done.length > 0, `seed ${seed}: nothing was written`);
  for (const member of cluster.members) {
    for (const { name, seen } of writes) {
      const version = cluster.version(member, name);
      const allowed = seen.ending === "put" ? [1] : [0, 1];
      const what = `seed ${seed}: ${name} at ${member.name} (${seen.ending}): ${version} times`;
      assert.ok(allowed.includes(version), what);
    }
    assert.deepEqual(cluster.keys(member), cluster.keys(cluster.members[0] as FakeMember));
  }
  cluster.stop();
}

test(`whatever happens to members and network, a write is applied once, ${SEEDS} times over`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await run(seed);
});
