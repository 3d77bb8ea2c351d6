import assert from "node:assert/strict";
import { get } from "node:https";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { watching } from "../edge/streams.ts";
import { bytes, failure } from "../edge/world.ts";
import { ClusterProcess } from "./cluster-process.ts";

/** Requests to any member of three: real processes over NATS. */

let cluster: ClusterProcess;
/** The leader at the start, and the others. */
let leader: string;
let followers: readonly [string, string];
const clients = new Map<string, Client>();

before(async () => {
  cluster = await ClusterProcess.start();
  leader = await cluster.leader();
  const [one = "", two = ""] = cluster.members
    .map(({ name }) => name)
    .filter((name) => name !== leader);
  followers = [one, two];
  for (const { name } of cluster.members) clients.set(name, cluster.client(name));
});

after(async () => {
  for (const client of clients.values()) await client.close();
  await cluster[Symbol.asyncDispose]();
});

function at(name: string): Client {
  const client = clients.get(name);
  assert.ok(client !== undefined);
  return client;
}

/** A client of the member with a fresh token of the default tenant. */
async function as(subject: string, name: string, requireLeader = false): Promise<Client> {
  const { token } = await at(leader).tokenIssue({ subject, ttlSeconds: 600n });
  const { ca } = cluster.credentials;
  return cluster.client(name, { ca, cert: undefined, key: undefined, token, requireLeader });
}

function textOf(value: Uint8Array | undefined): string {
  return Buffer.from(value ?? []).toString();
}

describe("requests to followers", () => {
  test("a put on one is read on another, and comes to a watch on the third", async () => {
    const [one, two] = followers;
    await using watch = watching(at(leader));
    watch.create({ key: bytes("/k"), progressNotify: false });
    await watch.until((response) => response.created);
    for (let i = 0; i < 20; i++) {
      const put = await at(one).put({ key: bytes("/k"), value: bytes(`v${i}`) });
      const { header, kvs } = await at(two).range({ key: bytes("/k") });
      assert.equal(textOf(kvs[0]?.value), `v${i}`);
      assert.ok((header?.revision ?? 0n) >= (put.header?.revision ?? 0n));
      const seen = await watch.until((response) =>
        response.events.some((event) => textOf(event.kv?.value) === `v${i}`),
      );
      assert.equal(seen.events[0]?.kv?.modRevision, put.header?.revision);
    }
  });

  test("each member tells its own id and the same cluster, leader and term", async () => {
    const told = await Promise.all([...clients.values()].map((client) => client.status()));
    assert.equal(new Set(told.map(({ header }) => header?.memberId)).size, 3);
    assert.equal(new Set(told.map(({ header }) => header?.clusterId)).size, 1);
    assert.equal(new Set(told.map(({ leader: id, raftTerm }) => `${id} ${raftTerm}`)).size, 1);
    const { members } = await at(followers[0]).clusterStatus();
    assert.deepEqual(members.map(({ name }) => name).toSorted(), ["m1", "m2", "m3"]);
    for (const { report } of members) assert.equal(report?.leader, told[0]?.leader);
  });

  test("comparisons with VALUE from three members at once lose no update", async () => {
    const key = bytes("/counter");
    await at(leader).put({ key, value: bytes("0") });
    const increments = 15;
    const work = async (client: Client): Promise<void> => {
      for (let done = 0; done < increments;) {
        const { kvs } = await client.range({ key });
        const value = kvs[0]?.value ?? bytes("0");
        const next = bytes(String(Number(textOf(value)) + 1));
        const { succeeded } = await client.txn({
          compare: [{ key, result: 0, target: 3, targetUnion: { $case: "value", value } }],
          success: [{ request: { $case: "requestPut", value: { key, value: next } } }],
        });
        if (succeeded) done++;
      }
    };
    await Promise.all([...clients.values()].map(work));
    const { kvs } = await at(followers[1]).range({ key });
    assert.equal(textOf(kvs[0]?.value), String(3 * increments));
  });

  test("leases are granted, renewed and revoked on any member", async () => {
    const [one, two] = followers;
    const { ID } = await at(one).leaseGrant({ TTL: 600n });
    await at(two).put({ key: bytes("/leased"), value: bytes("v"), lease: ID });
    const alive = at(two).keepAlive();
    alive.renew(ID);
    const renewed = await alive.replies().next();
    assert.equal(renewed.done === true ? 0n : renewed.value.TTL, 600n);
    alive.close();
    const { TTL, keys } = await at(one).leaseTimeToLive({ ID, keys: true });
    assert.ok(TTL > 590n && TTL <= 600n);
    assert.deepEqual(keys.map(textOf), ["/leased"]);
    await at(leader).leaseRevoke({ ID });
    assert.equal((await at(two).range({ key: bytes("/leased") })).kvs.length, 0);
  });

  test("all members have the same hash chain", async () => {
    const { hashRevision } = await at(leader).hashKv();
    await Promise.all(followers.map((name) => at(name).range({ key: bytes("/k") })));
    const hashes = await Promise.all(
      [...clients.values()].map(async (client) => {
        const { hash } = await client.hashKv({ revision: hashRevision });
        return hash;
      }),
    );
    assert.equal(new Set(hashes).size, 1);
    const ahead = at(leader).hashKv({ revision: hashRevision + 1_000_000n });
    await failure(ahead, "future-revision");
  });
});

/** Sends `request` to a follower that has not heard of `change` when it comes. */
async function askBehind<T>(
  name: string,
  change: () => Promise<unknown>,
  request: () => Promise<T>,
): Promise<T> {
  const member = cluster.member(name);
  member.pause();
  let answer: Promise<T>;
  try {
    await change();
    answer = request();
    // Its bytes are in the socket by the next turn.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    member.resume();
  }
  return await answer;
}

describe("rights on followers", () => {
  const key = bytes("/secret");
  const row = { fields: ["p", "user:eve", "/secret", "read", "allow"] };
  const write = { fields: ["p", "user:eve", "/secret", "write", "allow"] };

  test("a right given or taken through one member holds on the others at once", async () => {
    const [one, two] = followers;
    await at(leader).put({ key, value: bytes("s") });
    const eve = await as("user:eve", two);
    try {
      for (let round = 0; round < 10; round++) {
        await failure(eve.range({ key }), "permission-denied");
        await failure(eve.put({ key, value: bytes("x") }), "permission-denied");
        await at(one).policyChange({ add: [row, write] });
        await eve.put({ key, value: bytes("s") });
        assert.equal((await eve.range({ key })).kvs.length, 1);
        await at(leader).policyChange({ remove: [row, write] });
      }
    } finally {
      await eve.close();
    }
  });

  test("refusal 46: a watch on one member ends when its right is taken away through another", async () => {
    const [one, two] = followers;
    const watch = { fields: ["p", "user:eve", "/secret", "watch", "allow"] };
    const pairs = [
      [one, leader],
      [leader, one],
      [one, two],
    ] as const;
    for (const [watched, changed] of pairs) {
      await at(changed).policyChange({ add: [watch] });
      const eve = await as("user:eve", watched);
      const stream = watching(eve);
      stream.create({ key });
      const created = await stream.until((response) => response.created);
      assert.equal(created.canceled, false);
      await at(changed).policyChange({ remove: [watch] });
      // The removal was answered before this is proposed, so it stands before it in the log.
      await at(changed).put({ key, value: bytes("not for eve") });
      const canceled = await stream.until((response) => response.canceled);
      assert.match(canceled.cancelReason, /permission denied/);
      assert.deepEqual(
        stream.responses.flatMap(({ events }) => events),
        [],
        `on ${watched}, through ${changed}`,
      );
      await stream[Symbol.asyncDispose]();
      await eve.close();
    }
  });

  test("refusal 47: a follower that is behind neither refuses by an old policy nor allows by it", async () => {
    const eve = await as("user:eve", followers[1]);
    for (let round = 0; round < 3; round++) {
      const grant = (): Promise<unknown> => at(leader).policyChange({ add: [row, write] });
      await askBehind(followers[1], grant, () => eve.put({ key, value: bytes("s") }));
      const revoke = (): Promise<unknown> => at(leader).policyChange({ remove: [row, write] });
      const calls: readonly (() => Promise<unknown>)[] = [
        () => eve.range({ key }),
        () => eve.put({ key, value: bytes("x") }),
      ];
      const refused = calls[round % 2] ?? grant;
      const left = askBehind(followers[1], revoke, refused);
      await failure(left, "permission-denied");
    }
    await eve.close();
  });

  test("a watch is made on a follower as soon as its right was given through the leader", async () => {
    const rights = [{ fields: ["p", "user:eve", "/secret", "watch", "allow"] }];
    const eve = await as("user:eve", followers[0]);
    for (let round = 0; round < 5; round++) {
      await at(leader).policyChange({ add: rights });
      await using watch = watching(eve);
      watch.create({ key });
      const created = await watch.until((response) => response.created);
      assert.equal(created.canceled, false);
      await at(leader).policyChange({ remove: rights });
    }
    await eve.close();
  });

  test("a tenant made through the leader takes its owner's writes on a follower at once", async () => {
    for (let round = 0; round < 5; round++) {
      const name = `t${round}`;
      // Bound to all, as a token of one tenant is for one that is there.
      const order = { subject: "user:owner", tenants: ["*"], ttlSeconds: 600n };
      const { token } = await at(leader).tokenIssue(order);
      const { ca } = cluster.credentials;
      const options = { ca, cert: undefined, key: undefined, token, tenant: name };
      await using owner = cluster.client(followers[round % 2], options);
      await failure(owner.put({ key, value: bytes("x") }), "permission-denied");
      const create = (): Promise<unknown> => at(leader).tenantCreate({ name, owner: "user:owner" });
      await askBehind(followers[round % 2] ?? "", create, () =>
        owner.put({ key, value: bytes("x") }),
      );
    }
  });

  test("a lease is not ended on a follower by who may not delete a key just put under it", async () => {
    const rights = [
      { fields: ["p", "user:lessee", "*", "lease", "allow"] },
      { fields: ["p", "user:lessee", "/own", "delete", "allow"] },
    ];
    await at(leader).policyChange({ add: rights });
    const lessee = await as("user:lessee", followers[0]);
    for (let round = 0; round < 10; round++) {
      const { ID } = await lessee.leaseGrant({ TTL: 600n });
      await at(leader).put({ key: bytes(`/theirs/${round}`), value: bytes("v"), lease: ID });
      await failure(lessee.leaseRevoke({ ID }), "permission-denied");
    }
    await lessee.close();
    const range = { key: bytes("/theirs/"), rangeEnd: bytes("/theirs0"), countOnly: true };
    assert.equal((await at(followers[1]).range(range)).count, 10n);
  });

  test("members are not changed, nor leadership moved, by who runs only a tenant", async () => {
    const owner = { fields: ["g", "user:owner", "role:owner"] };
    await at(leader).policyChange({ add: [owner] });
    const { leader: id } = await at(leader).status();
    for (const { name } of cluster.members) {
      const client = await as("user:owner", name);
      const calls: readonly (() => Promise<unknown>)[] = [
        () => client.memberAdd({ peerURLs: ["https://m4:2380"], isLearner: true }),
        () => client.memberRemove({ ID: id }),
        () => client.memberUpdate({ ID: id, peerURLs: ["https://m4:2380"] }),
        () => client.memberPromote({ ID: id }),
        () => client.moveLeader({ targetID: id }),
      ];
      for (const call of calls) await failure(call(), "permission-denied");
      await client.close();
    }
    assert.equal((await at(leader).memberList()).members.length, 3);
  });

  test("each member keeps the audit records of the requests that it was asked", async () => {
    for (const { name } of cluster.members) {
      const { end: cursor } = await at(name).auditSearch({ limit: 1n });
      const mallory = await as("user:mallory", name);
      await failure(mallory.put({ key, value: bytes("x") }), "permission-denied");
      await mallory.close();
      const { lines } = await at(name).auditSearch({ cursor, oldestFirst: true, limit: 100n });
      const records = lines.map(
        (line) =>
          JSON.parse(line) as { readonly actor: { readonly subject: string }; outcome: string },
      );
      const own = records.filter(({ actor }) => actor.subject === "user:mallory");
      assert.deepEqual(
        own.map(({ outcome }) => outcome),
        ["refused"],
        name,
      );
    }
  });
});

describe("without a leader", () => {
  test("requests that need one are refused, streams end, probes say no; and all comes back", async () => {
    const [one, two] = followers;
    const client = cluster.client(one, { requireLeader: true, timeoutMs: 20_000 });
    const patient = cluster.client(one);
    const watch = watching(client);
    const other = watching(patient);
    for (const stream of [watch, other]) {
      stream.create({ key: bytes("/k") });
      await stream.until((response) => response.created);
    }
    const alive = client.keepAlive();
    const { ID } = await client.leaseGrant({ TTL: 600n });
    alive.renew(ID);
    const replies = alive.replies();
    await replies.next();

    await cluster.member(leader).kill();
    await cluster.member(two).kill();
    assert.equal((await watch.ended)?.code, "no-leader");
    await failure(replies.next(), "no-leader");
    await failure(client.range({ key: bytes("/k") }), "no-leader");
    await failure(client.put({ key: bytes("/k"), value: bytes("lost") }), "no-leader");
    // What does not ask for a leader goes on with what is here.
    assert.equal((await patient.range({ key: bytes("/k"), serializable: true })).kvs.length, 1);
    const status = await patient.status();
    assert.equal(status.leader, 0n);
    assert.deepEqual(status.errors, ["etcdserver: no leader"]);
    assert.deepEqual(await page(one, "/health"), {
      status: 503,
      body: '{"health":"false","reason":"RAFT NO LEADER"}',
    });
    assert.equal((await page(one, "/readyz")).status, 503);
    assert.equal((await page(one, "/livez")).status, 200);
    const metrics = (await page(one, "/metrics")).body;
    assert.match(metrics, /^etcd_server_has_leader 0$/m);
    assert.match(metrics, /^etcd_server_health_failures 1$/m);

    await Promise.all([cluster.member(leader).start(), cluster.member(two).start()]);
    await patient.put({ key: bytes("/k"), value: bytes("again") });
    const seen = await other.until((response) =>
      response.events.some((event) => textOf(event.kv?.value) === "again"),
    );
    assert.equal(seen.events.length, 1);
    assert.equal((await page(one, "/readyz")).status, 200);
    for (const stream of [watch, other]) await stream[Symbol.asyncDispose]();
    alive.close();
    for (const each of [client, patient]) await each.close();
  });
});

describe("what a follower tells", () => {
  test("etcd's metrics name the other members by their ids", async () => {
    const { members } = await at(followers[0]).memberList();
    const { body } = await page(followers[0], "/metrics");
    const own = members.find(({ name }) => name === followers[0])?.ID;
    for (const { ID } of members) {
      const id = ID.toString(16);
      const isOther = ID !== own;
      for (const line of [
        `etcd_network_peer_sent_bytes_total{To="${id}"} [1-9]`,
        `etcd_network_peer_received_bytes_total{From="${id}"} [1-9]`,
        `etcd_network_peer_round_trip_time_seconds_count{To="${id}"} [1-9]`,
      ]) {
        assert.equal(new RegExp(`^${line}`, "m").test(body), isOther, line);
      }
    }
    assert.match(body, /^etcd_server_leader_changes_seen_total [1-9]/m);
    assert.match(body, /^etcd_server_proposals_committed_total [1-9]/m);
    assert.match(body, /^etcd_server_heartbeat_send_failures_total \d/m);
    assert.match(body, /^etcd_disk_wal_fsync_duration_seconds_count [1-9]/m);
  });
});

interface Page {
  readonly status: number;
  readonly body: string;
}

/** A page of a member, asked without a client certificate. */
function page(name: string, path: string): Promise<Page> {
  return new Promise((resolve, reject) => {
    const { ca } = cluster.credentials;
    get(`${cluster.member(name).endpoint}${path}`, { ca, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    }).on("error", (error) => reject(new CofferError("unreachable", error.message)));
  });
}
