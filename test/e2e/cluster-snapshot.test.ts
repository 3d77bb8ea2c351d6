import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { bytes } from "../edge/world.ts";
import { type ClusterMember, ClusterProcess } from "./cluster-process.ts";

/** A member that was away for longer than the others keep their logs, and gets their whole state. */

/** Entries after which a member shortens its log, down to the 1000 that it keeps for others. */
const SNAPSHOT_ENTRIES = 200;
const ENTRIES = 1300;
/** Large enough that raft's memory of entries, 16 MiB, does not reach back. */
const VALUE = "v".repeat(17_000);
const INSTALLED = "Snapshot installed";
const WAIT_MS_MAX = 30_000;

let cluster: ClusterProcess;

before(async () => {
  cluster = await ClusterProcess.start({ flags: [`--snapshot-entries=${SNAPSHOT_ENTRIES}`] });
});

after(() => cluster[Symbol.asyncDispose]());

/** One entry for each put. */
async function fill(client: Client, from: number, count: number = ENTRIES): Promise<void> {
  for (let i = from; i < from + count; i++) {
    await client.put({ key: bytes(`k/${i}`), value: bytes(`${i}/${VALUE}`) });
  }
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS_MAX;
  while (!(await isTrue())) {
    if (Date.now() > end) assert.fail(`${what} did not happen:\n${cluster.tails()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A follower, and a client of a member that stays up. */
async function follower(): Promise<{ member: ClusterMember; client: Client }> {
  const leader = await cluster.leader();
  const member = cluster.members.find(({ name }) => name !== leader);
  assert.ok(member);
  return { member, client: cluster.client(leader) };
}

async function assertSame(member: ClusterMember): Promise<void> {
  const other = cluster.members.find(({ name }) => name !== member.name);
  const [mine, theirs] = [cluster.client(member.name), cluster.client(other?.name)];
  try {
    const all = { key: bytes("k/"), rangeEnd: bytes("k0"), countOnly: true };
    const { count, header } = await mine.range(all);
    assert.equal(count, (await theirs.range(all)).count);
    const revision = header?.revision ?? 0n;
    const [a, b] = [await mine.hashKv({ revision }), await theirs.hashKv({ revision })];
    assert.deepEqual([a.hash, a.compactRevision], [b.hash, b.compactRevision]);
  } finally {
    await mine.close();
    await theirs.close();
  }
}

test("a member that was away gets a snapshot, and goes on with the log", async () => {
  const { member, client } = await follower();
  await member.kill();
  await fill(client, 0);
  await member.start();
  const writing = fill(client, 10 * ENTRIES, 100);
  await until("the install", () => member.process?.tail.includes(INSTALLED) === true);
  await writing;
  await assertSame(member);
  await member.restart();
  await assertSame(member);
  await client.close();
});

test("killed while it receives, it goes on and ends with the same state", async () => {
  const { member, client } = await follower();
  await member.kill();
  await fill(client, ENTRIES);
  const folder = join(member.data, "snapshots");
  let kills = 0;
  for (; kills < 3; kills++) {
    const life = member.spawn();
    await until("the first bytes", () => {
      return life.tail.includes(INSTALLED) || existsSync(join(folder, "incoming.db"));
    });
    if (life.tail.includes(INSTALLED)) break;
    await member.kill();
  }
  assert.ok(kills > 0, "it was never killed while it received");
  await member.start();
  await until("the end", async () => {
    await client.put({ key: bytes("k/after"), value: bytes("y") });
    return readdirSync(folder).length === 0;
  });
  await assertSame(member);
  await client.close();
});
