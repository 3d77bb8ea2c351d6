import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { bytes, failure } from "../edge/world.ts";
import { ClusterProcess } from "./cluster-process.ts";
import { MAIN } from "./member-process.ts";

/** Members that come and go while the cluster is used, through etcdctl and through coffer. */

let cluster: ClusterProcess;
let client: Client;

before(async () => {
  cluster = await ClusterProcess.start();
  client = cluster.client(undefined, { timeoutMs: 20_000 });
  for (let i = 0; i < 100; i++) {
    await client.put({ key: bytes(`/k/${i}`), value: bytes(`v${i}`) });
  }
});

after(async () => {
  await client.close();
  await cluster[Symbol.asyncDispose]();
});

interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[], at?: string): Answer {
  const env = cluster.environment(at);
  const { status: code, stdout, stderr } = spawnSync(file, args, { env, encoding: "utf8" });
  return { code, stdout, stderr };
}

/** What it prints; fails unless it exits with 0. */
function etcdctl(...args: readonly string[]): string {
  const { code, stdout, stderr } = run("etcdctl", args);
  assert.equal(code, 0, stderr);
  return stdout;
}

function coffer(...args: readonly string[]): Answer {
  return run(process.execPath, [MAIN, ...args]);
}

async function idOf(name: string): Promise<bigint> {
  const { members } = await client.memberList({ linearizable: true });
  const found = members.find((member) => member.name === name);
  assert.ok(found !== undefined, name);
  return found.ID;
}

const hex = (id: bigint): string => id.toString(16);

/** That the member itself answers a linearizable read with what all wrote. */
async function assertServes(name: string): Promise<void> {
  await using own = cluster.client(name, { timeoutMs: 20_000 });
  const { count } = await own.range({ key: bytes("/k/"), rangeEnd: bytes("/k0"), countOnly: true });
  assert.equal(count, 100n);
}

test("etcdctl moves the leader; a member that is none of the voters is refused", async () => {
  const leader = await cluster.leader();
  const [other = ""] = ["m1", "m2", "m3"].filter((name) => name !== leader);
  const [from, to] = [hex(await idOf(leader)), hex(await idOf(other))];
  assert.match(
    etcdctl("move-leader", to),
    new RegExp(`^Leadership transferred from ${from} to ${to}`),
  );
  assert.equal(await cluster.leader(), other);
  const { code, stdout } = coffer("move-leader", leader);
  assert.deepEqual([code, stdout], [0, `Leadership transferred from ${to} to ${from}\n`]);
  assert.equal(await cluster.leader(), leader);
  await using at = cluster.client(leader);
  await failure(at.moveLeader({ targetID: 0x123n }), "bad-leader-transferee");
  await using follower = cluster.client(other);
  await failure(follower.moveLeader({ targetID: await idOf(other) }), "not-leader");
});

test("a learner joins by a snapshot or the log, serves its own state only, and is promoted", async () => {
  const added = etcdctl("member", "add", "m4", "--learner", "--peer-urls=https://m4:2380");
  const id = /^Member +([0-9a-f]+) added to cluster/.exec(added)?.[1] ?? "";
  assert.match(coffer("member", "list").stdout, / unstarted +m4 +https:\/\/m4:2380 +- +true/);
  const twice = run("etcdctl", ["member", "add", "x", "--peer-urls=https://m4:2380"]);
  assert.match(twice.stderr, /Peer URLs already exists/);
  // Another port is no other member: the host is the name that m1 is reached by.
  const double = run("etcdctl", ["member", "add", "x", "--peer-urls=https://m1:9999"]);
  assert.match(double.stderr, /Peer URLs already exists/);
  const second = run("etcdctl", [
    "member",
    "add",
    "m5",
    "--learner",
    "--peer-urls=https://m5:2380",
  ]);
  assert.match(second.stderr, /too many learner members in cluster/);
  const notYet = run("etcdctl", ["member", "promote", id]);
  assert.match(notYet.stderr, /can only promote a learner member which is in sync with leader/);

  await cluster.member("m4").start();
  await using learner = cluster.client("m4");
  const key = bytes("/k/1");
  await failure(learner.range({ key }), "not-supported-for-learner");
  await failure(learner.put({ key, value: bytes("x") }), "not-supported-for-learner");
  assert.equal((await learner.range({ key, serializable: true })).kvs.length, 1);
  assert.equal((await learner.status()).isLearner, true);
  assert.match(coffer("status").stdout, /^m4 .* learner /m);

  assert.match(etcdctl("member", "promote", id), /^Member +[0-9a-f]+ promoted in cluster/);
  await assertServes("m4");
  await learner.put({ key: bytes("/by-m4"), value: bytes("x") });
});

test("a removed member says so and ends, and is not taken back with its data", async () => {
  const m4 = cluster.member("m4");
  assert.match(etcdctl("member", "remove", hex(await idOf("m4"))), / removed from cluster /);
  await m4.process?.gone;
  assert.equal(m4.process?.exitCode, 5);
  assert.match(m4.process?.tail ?? "", /this member was removed from the cluster/);
  await assert.rejects(m4.start(), /this member was removed from the cluster/);
  assert.match(run("etcdctl", ["member", "remove", "123"]).stderr, /etcdserver: member not found/);
  await assertServes("m1");
});

test("a lost disk is refused under its old id, and replaced while writes go on", async () => {
  const m2 = cluster.member("m2");
  await m2.kill();
  m2.wipe();
  await assert.rejects(m2.start(), /'m2' has been a member .* and its data is lost: remove it/);
  assert.equal(m2.process?.exitCode, 2);

  let isOver = false;
  let written = 0;
  const writing = (async () => {
    await using other = cluster.client("m1", { timeoutMs: 20_000 });
    for (; !isOver; written++) {
      await other.put({ key: bytes(`/w/${written}`), value: bytes("x") });
    }
  })();
  assert.equal(coffer("member", "remove", "m2").code, 0);
  assert.match(coffer("member", "add", "m2").stdout, /--initial-cluster-state existing\n$/);
  await assert.rejects(m2.start(), /'m2' was added to the running cluster anew: start it with/);
  m2.wipe();
  m2.joins = true;
  await m2.start();
  isOver = true;
  await writing;
  await assertServes("m2");
  await using own = cluster.client("m2");
  const range = { key: bytes("/w/"), rangeEnd: bytes("/w0"), countOnly: true };
  assert.equal((await own.range(range)).count, BigInt(written));
  assert.equal((await own.memberList()).members.length, 3);
  // Whatever the flag says now, it is the member that it has joined as.
  for (const joins of [true, false]) {
    m2.joins = joins;
    await m2.restart();
    await assertServes("m2");
  }
});

test("the leader can be removed, and leaves the others in working order", async () => {
  const leader = await cluster.leader();
  const { code, stderr } = coffer("member", "remove", leader);
  assert.equal(code, 0, stderr);
  await cluster.member(leader).process?.gone;
  const [one = "", two = ""] = ["m1", "m2", "m3"].filter((name) => name !== leader);
  await assertServes(one);
  await using own = cluster.client(two, { timeoutMs: 20_000 });
  await own.put({ key: bytes("/after"), value: bytes("x") });
  assert.equal((await own.memberList()).members.length, 2);
});
