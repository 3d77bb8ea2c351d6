import assert from "node:assert/strict";
import { cpSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bytes } from "../edge/world.ts";
import { ClusterProcess, type MemberOptions } from "./cluster-process.ts";

/** Starts of members that wait, and starts that are refused: each says why in one line. */

let cluster: ClusterProcess;
/** What differs in a member's options at its next start. */
const changes = new Map<string, (own: MemberOptions) => MemberOptions>();

before(async () => {
  cluster = await ClusterProcess.make({
    nats: ["n1"],
    optionsOf: (name, own) => changes.get(name)?.(own) ?? own,
  });
});

after(() => cluster[Symbol.asyncDispose]());

/** Waits until the member has written what matches, and answers the line. */
async function line(name: string, wanted: RegExp): Promise<string> {
  const member = cluster.member(name);
  const end = Date.now() + 20_000;
  for (;;) {
    const found = (member.process?.tail ?? "").split("\n").find((one) => wanted.test(one));
    if (found !== undefined) return found;
    assert.ok(Date.now() < end, `no line ${wanted} in:\n${member.process?.tail ?? ""}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("without NATS, and without a majority, members wait and say so; SIGTERM ends the wait", async () => {
  const [m1, m2, m3] = cluster.members;
  assert.ok(m1 !== undefined && m2 !== undefined && m3 !== undefined);
  m1.spawn();
  await line("m1", /not connected to NATS, trying again: nothing listens at tls:/);
  assert.equal(await m1.stop(), 0);
  await cluster.nats[0]?.start();
  m1.spawn();
  const why = await line("m1", /Waiting for a majority of the members/);
  assert.match(why, /others must say whether it had any \(m2, m3\)/);
  assert.equal(await m1.stop(), 0);

  m1.spawn();
  m2.spawn();
  await Promise.all([m1.process?.ready, m2.process?.ready]);
  await using client = cluster.client("m1");
  await client.put({ key: bytes("/k"), value: bytes("v") });
  const { members } = await client.memberList();
  assert.deepEqual(members.map(({ name }) => name).toSorted(), ["", "m1", "m2"]);
  await m3.start();
  await using third = cluster.client("m3");
  assert.equal((await third.range({ key: bytes("/k") })).kvs.length, 1);
});

test("one alone of three serves nothing when it comes back, and says what it misses", async () => {
  for (const member of cluster.members) await member.kill();
  const [m1] = cluster.members;
  m1?.spawn();
  const why = await line("m1", /Not serving yet/);
  assert.match(why, /no leader: 3 voters, heard of none, not of m2, m3/);
  assert.equal(await m1?.stop(), 0);
});

test("a start under another's name, token or data is refused, which one is said", async () => {
  await cluster.startAll();
  const isDouble = (own: MemberOptions): MemberOptions => ({
    ...own,
    name: "m1",
    "nats-cert": (own["nats-cert"] ?? "").replace("/m4/", "/m1/"),
    "nats-key": (own["nats-key"] ?? "").replace("/m4/", "/m1/"),
    "initial-cluster-state": "new",
  });
  await assertRefused("m4", isDouble, /Error: another process runs as member 'm1'; stop it/);
  assert.deepEqual(readdirSync(cluster.member("m4").data), [], "left by the refused start");
  await cluster.member("m2").stop();
  const other = (own: MemberOptions): MemberOptions => ({ ...own, "cluster-token": "other" });
  await assertRefused(
    "m2",
    other,
    /Error: .*\/m2 belongs to another cluster; give the --cluster-token/,
  );
  const named = (own: MemberOptions): MemberOptions => ({ ...own, name: "m1" });
  await assertRefused("m2", named, /Error: .*\/m2 is the data of member 'm2', not of 'm1'/);
  await cluster.member("m2").start();
});

test("a member that was away while a tenant was deleted does not take itself for older", async () => {
  const m2 = cluster.member("m2");
  await using own = cluster.client("m2");
  await own.tenantCreate({ name: "gone", owner: "user:owner" });
  const order = { subject: "user:owner", tenants: ["gone"], ttlSeconds: 600n };
  const { token } = await own.tokenIssue(order);
  const { ca } = cluster.credentials;
  const options = { ca, cert: undefined, key: undefined, token };
  await using owner = cluster.client("m2", options);
  await owner.put({ key: bytes("/k"), value: bytes("v") });
  // Without the mark that a stop leaves, its audit log still speaks of the tenant.
  await m2.kill();
  await using other = cluster.client("m1", { timeoutMs: 20_000 });
  await other.tenantDelete({ name: "gone" });
  await m2.start();
  const { tenants } = await own.tenantList();
  assert.deepEqual(
    tenants.map(({ name }) => name),
    ["default"],
  );
});

test("refusal 51: a whole folder put back, audit log and all, is refused by what the others have of it", async () => {
  const m2 = cluster.member("m2");
  await m2.stop();
  const [old, newest] = [`${m2.data}.old`, `${m2.data}.newest`];
  cpSync(m2.data, old, { recursive: true });
  await m2.start();
  await using client = cluster.client("m2");
  for (let i = 0; i < 5; i++) await client.put({ key: bytes(`/w/${i}`), value: bytes("x") });
  await m2.stop();
  renameSync(m2.data, newest);
  renameSync(old, m2.data);
  // The leader that knew how much of the log it had would stop it; the next one does not know.
  const others = ["m1", "m3"].map((name) => cluster.member(name));
  for (const other of others) await other.stop();
  await Promise.all(others.map((other) => other.start()));
  const older = /Error: .*\/m2" is not served: its audit log is not the one that the cluster has/;
  await assertRefused("m2", (own) => own, older);
  // It has caught up before it was refused, so that only its audit log is behind.
  rmSync(join(m2.data, "audit"), { recursive: true });
  renameSync(join(newest, "audit"), join(m2.data, "audit"));
  await m2.start();
});

test("files put back to an older state are refused", async () => {
  const m2 = cluster.member("m2");
  await m2.stop();
  const files = ["raft.db", "state.db"];
  for (const file of files) cpSync(join(m2.data, file), join(m2.data, `${file}.old`));
  await m2.start();
  await using client = cluster.client("m2");
  for (let i = 0; i < 5; i++) await client.put({ key: bytes(`/n/${i}`), value: bytes("x") });
  await m2.stop();
  for (const file of files) {
    for (const ending of ["-wal", "-shm"]) rmSync(join(m2.data, file + ending), { force: true });
    renameSync(join(m2.data, `${file}.old`), join(m2.data, file));
  }
  const older = /Error: .*\/m2" is not served: it is older than what this member has acknowledged/;
  await assertRefused("m2", (own) => own, older);
});

test("a certificate that NATS does not take, and an authority that is not NATS's, are named", async () => {
  const m3 = cluster.member("m3");
  await m3.stop();
  const cases: readonly (readonly [(own: MemberOptions) => MemberOptions, RegExp])[] = [
    [
      (own) => ({ ...own, "nats-ca": own["client-ca"] ?? "" }),
      /the certificate of NATS at tls:\S+ was not issued by the authority in '\S+\/ca.crt'/,
    ],
    [
      (own) => ({
        ...own,
        "nats-cert": (own["nats-cert"] ?? "").replace("/m3/", "/m1/"),
        "nats-key": (own["nats-key"] ?? "").replace("/m3/", "/m1/"),
      }),
      /holds 'm1\.members\.coffer' and not 'm3\.members\.coffer', by which NATS knows/,
    ],
  ];
  for (const [change, wanted] of cases) {
    changes.set("m3", change);
    m3.spawn();
    await line("m3", wanted);
    assert.equal(await m3.stop(), 0);
  }
  changes.delete("m3");
  await m3.start();
});

test("a joiner that was not added waits, and says what to do", async () => {
  const m5 = cluster.member("m5");
  m5.spawn();
  const why = await line("m5", /No member has told who this one is/);
  assert.match(why, /etcdctl member add m5 --peer-urls=https:\/\/m5:2380/);
  assert.equal(await m5.stop(), 0);
});

async function assertRefused(
  name: string,
  change: (own: MemberOptions) => MemberOptions,
  wanted: RegExp,
): Promise<void> {
  const member = cluster.member(name);
  changes.set(name, change);
  await assert.rejects(member.start(), wanted);
  changes.delete(name);
  assert.notEqual(member.process?.exitCode, 0);
}
