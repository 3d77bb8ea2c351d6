import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessages } from "../../src/wire/mod.ts";
import {
  ELECTION_MS,
  type FakeCluster,
  type FakeMember,
  HEARTBEAT_MS,
  REQUEST_TIMEOUT_MS,
  ending,
  endingNow,
  startCluster,
} from "./fake-cluster.ts";

/** Linearizable reads: on every member, and never of what was before an acknowledged write. */

async function read(cluster: FakeCluster, member: FakeMember): Promise<string | undefined> {
  assert.equal(await cluster.time.finish(ending(member.node.readIndex())), "done");
  return cluster.keys(member, "k", "")[0]?.[1];
}

test("a read on any member sees what was acknowledged on any other", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  let n = 0;
  for (const writer of cluster.members) {
    for (const reader of cluster.members) {
      await cluster.put(writer, "k", `${++n}`);
      assert.equal(await read(cluster, reader), `${n}`, `${writer.name} to ${reader.name}`);
    }
  }
});

test("a leader that was paused and deposed meanwhile serves no stale read", async (context) => {
  const cluster = startCluster(context);
  const old = await cluster.prepare();
  await cluster.put(old, "k", "old");
  cluster.pause(old);
  assert.ok(await cluster.time.until(() => cluster.leader !== undefined && cluster.leader !== old));
  await cluster.put(cluster.leader as FakeMember, "k", "new");
  // It wakes up and is asked before it has looked at anything that came meanwhile.
  const asked = ending(old.node.readIndex());
  assert.equal(old.node.status().role, "leader");
  cluster.resume(old);
  assert.equal(await cluster.time.finish(asked), "done");
  assert.equal(cluster.keys(old, "k", "")[0]?.[1], "new");
});

test("a leader without its followers serves no linearizable read", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  cluster.isolate(leader);
  const asked = ending(leader.node.readIndex());
  await cluster.time.run(REQUEST_TIMEOUT_MS - HEARTBEAT_MS);
  assert.equal(await endingNow(asked), "waiting");
  assert.match(await cluster.time.finish(asked), /^timeout/);
});

test("a question that is lost is asked again", async (context) => {
  const cluster = startCluster(context);
  await cluster.prepare();
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  for (const lost of ["read-index", "read-index-resp"]) {
    let count = 0;
    cluster.hub.decide(({ channel, bytes }) => {
      const holds = channel === "raft" && decodeMessages(bytes).some(({ kind }) => kind === lost);
      return holds && count++ === 0 ? "drop" : undefined;
    });
    const asked = ending(follower.node.readIndex());
    await cluster.time.run(2 * ELECTION_MS);
    assert.equal(await endingNow(asked), "done", lost);
    assert.equal(count, 2);
  }
});

test("reads that wait while the leader fails are answered by the next one", async (context) => {
  const cluster = startCluster(context);
  const leader = await cluster.prepare();
  await cluster.put(leader, "k", "v");
  const [follower] = cluster.followers;
  assert.ok(follower !== undefined);
  cluster.crash(leader);
  assert.equal(await read(cluster, follower), "v");
});
