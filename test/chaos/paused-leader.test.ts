import assert from "node:assert/strict";
import test from "node:test";
import { ClusterProcess } from "../e2e/cluster-process.ts";
import { keyBytes, pause, textOfBytes } from "./world.ts";

/**
 * G15: a leader that slept through its own replacement answers no linearizable read from what it held
 * (etcd #20418). The read waits in its socket when it wakes, before it can have heard of another leader.
 */

const ROUNDS = 3;
const READS = 20;
const KEY = keyBytes("slept/through");

test("a paused leader that wakes answers no old value", async () => {
  await using cluster = await ClusterProcess.start({
    flags: ["--heartbeat-ms", "50", "--election-ms", "300"],
  });
  for (let round = 1; round <= ROUNDS; round++) {
    const leader = cluster.member(await cluster.leader());
    const [other = ""] = cluster.members
      .map(({ name }) => name)
      .filter((name) => name !== leader.name);
    await using onLeader = cluster.client(leader.name, { timeoutMs: 20_000 });
    await using onOther = cluster.client(other, { timeoutMs: 20_000 });
    await onLeader.put({ key: KEY, value: keyBytes(`old ${round}`) });
    leader.pause();
    const { header } = await onOther.put({ key: KEY, value: keyBytes(`new ${round}`) });
    // Sent while it sleeps, so that they are the first that it sees.
    const reads = Array.from({ length: READS }, () => onLeader.range({ key: KEY }));
    const all = Promise.allSettled(reads);
    await pause(100, new AbortController().signal);
    leader.resume();
    for (const answer of await all) {
      if (answer.status === "rejected") continue; // It may refuse; it may not answer what is old.
      const { kvs, header: read } = answer.value;
      assert.equal(textOfBytes(kvs[0]?.value ?? KEY), `new ${round}`);
      assert.ok((read?.revision ?? 0n) >= (header?.revision ?? 0n));
    }
    const answered = (await all).filter(({ status }) => status === "fulfilled").length;
    assert.ok(answered > 0, "It answered none, which proves nothing");
  }
});
