import assert from "node:assert/strict";
import { test } from "node:test";
import { leaseId } from "../../src/core/types/mod.ts";
import { put } from "../fsm/fixtures.ts";
import { type FakeCluster, type FakeMember, startCluster } from "./fake-cluster.ts";

/** Keys under a lease go when its time is over, and not before, whoever leads (G14). */

const LEASE = leaseId(5n);
const HOUR_MS = 3_600_000;

/** Grants a lease of `ttl` seconds with one key; returns the time at which it ends. */
async function grant(cluster: FakeCluster, at: FakeMember, ttl: number): Promise<number> {
  await cluster.run(at, { kind: "lease-grant", id: LEASE, ttl });
  const end = cluster.time.now + ttl * 1000;
  await cluster.run(at, { kind: "put", request: put("k", "v", { lease: LEASE }) });
  return end;
}

/** When the key went, of the members that are up the first. */
async function goneAt(cluster: FakeCluster): Promise<number> {
  const up = (): readonly FakeMember[] => cluster.members.filter(({ isUp }) => isUp);
  const isGone = (): boolean => up().some((member) => cluster.version(member, "k") === 0);
  assert.ok(await cluster.time.until(isGone, 120_000), "the key stays for ever");
  return cluster.time.now;
}

function inTime(cluster: FakeCluster, end: number): void {
  const late = cluster.time.now - end;
  // The proposal was stamped a little before it was answered.
  assert.ok(late > -50, `${-late} ms too early`);
  assert.ok(late <= 1000, `${late} ms too late`);
}

for (const skewsMs of [[], [0, HOUR_MS, -HOUR_MS / 2]]) {
  test(`a lease ends in time across failovers, clocks ${skewsMs.join(", ") || "alike"}`, async (context) => {
    const cluster = startCluster(context, { skewsMs });
    const first = await cluster.prepare();
    const [follower] = cluster.followers;
    assert.ok(follower !== undefined);
    const end = await grant(cluster, follower, 20);
    await cluster.time.run(3000);
    cluster.crash(first);
    const second = await cluster.elect();
    await cluster.time.run(3000);
    cluster.start(first);
    await cluster.time.run(3000);
    cluster.crash(second);
    await cluster.elect();
    await goneAt(cluster);
    inTime(cluster, end);
  });
}

test("a member that started a moment ago and leads goes on with the clock", async (context) => {
  const cluster = startCluster(context);
  const first = await cluster.prepare();
  const end = await grant(cluster, first, 60);
  // Nothing is written any more but what carries the clock.
  await cluster.time.run(30_000);
  const [a, b] = cluster.followers;
  assert.ok(a !== undefined && b !== undefined);
  cluster.restart(a);
  await cluster.time.run(1000);
  await cluster.time.finish(first.node.moveLeader(a.id));
  cluster.crash(first);
  await cluster.settle();
  await goneAt(cluster);
  inTime(cluster, end);
});

test("without leases nothing is written for the clock", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  const before = leader.node.status().raftIndex;
  await cluster.time.run(10_000);
  assert.equal(leader.node.status().raftIndex, before);
});

test("a renewal is counted by the leader's clock, and none comes of a failover", async (context) => {
  const cluster = startCluster(context, { skewsMs: [HOUR_MS, 0, 0] });
  const first = await cluster.prepare();
  await grant(cluster, first, 10);
  await cluster.time.run(6000);
  await cluster.run(first, { kind: "lease-renew", id: LEASE });
  const end = cluster.time.now + 10_000;
  cluster.crash(first);
  await cluster.elect();
  await goneAt(cluster);
  inTime(cluster, end);
});
