import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Client, connect } from "../../src/client/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type TestServer, ca, startServer } from "./harness.ts";

/** The Cluster service, and what Maintenance offers of leaders and hashes. */

let server: TestServer;
let client: Client;

before(async () => {
  server = await startServer();
  client = connectTo({});
});

after(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

function connectTo(options: { readonly requireLeader?: boolean }): Client {
  const endpoints = [`https://127.0.0.1:${String(server.port)}`];
  return connect({ endpoints, ca: ca.pem, ...options });
}

const ID = 0xabcn;
const peerURLs = ["https://m2:2380"];
const learner = { ID, name: "", peerURLs, clientURLs: [], isLearner: true };

test("members travel with etcd's fields, and the header's revision is 0", async () => {
  const added = await client.memberAdd({ peerURLs, isLearner: true });
  assert.deepEqual(added.member, learner);
  assert.deepEqual(added.members, [learner]);
  const other = ["http://m3:1"];
  const updated = await client.memberUpdate({ ID, peerURLs: other });
  assert.deepEqual(updated.members, [{ ...learner, peerURLs: other }]);
  const promoted = await client.memberPromote({ ID });
  assert.deepEqual(promoted.members, [{ ...learner, isLearner: false }]);
  const removed = await client.memberRemove({ ID });
  assert.deepEqual(removed.members, []);
  for (const { header } of [added, updated, promoted, removed]) {
    assert.equal(header?.revision, 0n);
    assert.equal(header.clusterId, 0xcdf818194e3a8c32n);
  }
  await assert.rejects(client.memberRemove({ ID: 2n ** 64n - 1n }), { code: "member-not-found" });
});

test("moving the leader answers without a header, as etcd", async () => {
  assert.deepEqual(await client.moveLeader({ targetID: ID }), { header: undefined });
  await assert.rejects(client.moveLeader({ targetID: 1n }), { code: "bad-leader-transferee" });
});

test("a hash has 32 bits, and -1 says that nothing was compacted", async () => {
  const { hash, compactRevision, hashRevision } = await client.hashKv({ revision: 9n });
  assert.deepEqual([hash, compactRevision, hashRevision], [0xfedcba98, -1n, 9n]);
});

test("the status of all members: what each says, and that one says nothing", async () => {
  const { members } = await client.clusterStatus();
  assert.equal(members[0]?.roundTripUs, 400n);
  assert.deepEqual(members[0]?.report, {
    version: "0.1.0",
    leader: server.edge.header().memberId,
    raftTerm: 2n,
    raftIndex: 10n,
    raftAppliedIndex: 9n,
    dbSize: 20480n,
    dbSizeInUse: 16384n,
  });
  assert.deepEqual([members[1]?.report, members[1]?.roundTripUs], [undefined, 0n]);
});

test("a stream of renewals ends with the leader, for those who asked for one", async () => {
  const picky = connectTo({ requireLeader: true });
  const streams = [picky.keepAlive(), client.keepAlive()] as const;
  const [ends, stays] = [streams[0].replies(), streams[1].replies()];
  for (const [i, stream] of streams.entries()) {
    stream.renew(5n);
    await [ends, stays][i]?.next();
  }
  assert.equal(server.edge.losses.size, 1);
  for (const lost of server.edge.losses) lost(new CofferError("no-leader"));
  await assert.rejects(ends.next(), { code: "no-leader" });
  streams[1].renew(5n);
  assert.equal((await stays.next()).done, false);
  assert.equal(server.edge.losses.size, 0);
  for (const stream of streams) stream.close();
  await picky.close();
});
