import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { type KeyValue, NO_LEASE, key, revision } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { type Client, connect } from "../../src/client/mod.ts";
import { frameOf, rpc } from "../../src/proto/mod.ts";
import { type TestServer, ca, rawSession, startServer } from "./harness.ts";

let server: TestServer;
let client: Client;

before(async () => {
  server = await startServer();
  client = connect({ endpoints: [`https://127.0.0.1:${String(server.port)}`], ca: ca.pem });
});
after(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

function event(value: Uint8Array): { type: "put"; kv: KeyValue; sub: number; prevKv: undefined } {
  const kv = {
    key: key("k"),
    createRevision: revision(2),
    modRevision: revision(2),
    version: 1,
    lease: NO_LEASE,
    value,
  };
  return { type: "put", kv, sub: 0, prevKv: undefined };
}

test("creations, events, progress and cancels travel in order", async () => {
  const watch = client.watch();
  watch.create({ key: Buffer.from("a"), watchId: 5 });
  const responses = watch.responses();
  const created = (await responses.next()).value;
  assert.equal(created?.created, true);
  assert.equal(created?.watchId, 5n);
  assert.equal(created?.header?.clusterId, 0xcdf818194e3a8c32n);
  await client.put({ key: Buffer.from("a"), value: Buffer.from("1") });
  const put = (await responses.next()).value;
  assert.equal(Buffer.from(put?.events[0]?.kv?.value ?? []).toString(), "1");
  assert.equal(put?.header?.revision, put?.events[0]?.kv?.modRevision);
  watch.requestProgress();
  watch.cancel(5);
  assert.equal((await responses.next()).value?.watchId, -1n);
  assert.equal((await responses.next()).value?.canceled, true);
  watch.close();
  assert.equal((await responses.next()).done, true);
});

test("the header's revision is the response's own, 0 where etcd sends 0", async () => {
  const watch = client.watch();
  watch.create({ key: Buffer.from("b") });
  const responses = watch.responses();
  await responses.next();
  server.edge.sessions.at(-1)?.push({
    revision: revision(0),
    canceled: true,
    compactRevision: 9,
  });
  const compacted = (await responses.next()).value;
  assert.equal(compacted?.compactRevision, 9n);
  assert.equal(compacted?.header?.revision, 0n);
  assert.notEqual(compacted?.header?.memberId, 0n);
  watch.close();
});

test("a stream that ends from the server's side ends with its error, after what waited", async () => {
  const watch = client.watch();
  watch.create({ key: Buffer.from("c") });
  const responses = watch.responses();
  await responses.next();
  const session = server.edge.sessions.at(-1);
  session?.push({ watchId: 3 });
  session?.end(new CofferError("no-leader"));
  assert.equal((await responses.next()).value?.watchId, 3n);
  await assert.rejects(responses.next(), { code: "no-leader" });
});

test("a refused stream fails with the edge's error", async () => {
  server.edge.nextError = new CofferError("invalid-token");
  const watch = client.watch();
  watch.create({ key: Buffer.from("d") });
  await assert.rejects(watch.responses().next(), { code: "invalid-token" });
});

test("a half-closed stream goes on, and a reset one closes the session", async () => {
  const session = await rawSession(server.port);
  const stream = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
  });
  const create = rpc.WatchRequest.encode({
    requestUnion: {
      $case: "createRequest",
      value: rpc.WatchCreateRequest.create({ key: Buffer.from("e") }),
    },
  }).finish();
  stream.end(frameOf(create));
  await new Promise((resolve) => stream.once("data", resolve));
  const watched = server.edge.sessions.at(-1);
  watched?.push({ watchId: 1 });
  await new Promise((resolve) => stream.once("data", resolve));
  assert.equal(watched?.closed, false);
  const closed = new Promise<void>((resolve) => {
    assert.ok(watched !== undefined);
    watched.close = resolve;
  });
  stream.close();
  await closed;
  session.close();
});

test("a client that does not read leaves its events in the session", async () => {
  const session = await rawSession(server.port);
  const stream = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
  });
  stream.on("error", () => undefined);
  // Response headers may come before the session is opened: a progress reply proves that it is.
  const progress = rpc.WatchRequest.encode({
    requestUnion: { $case: "progressRequest", value: {} },
  }).finish();
  stream.write(frameOf(progress));
  await new Promise((resolve) => stream.once("data", resolve));
  stream.pause();
  const watched = server.edge.sessions.at(-1);
  assert.ok(watched !== undefined);
  const value = Buffer.alloc(10_000, 1);
  const total = 2000;
  for (let i = 0; i < total; i++) watched.push({ events: [event(value)] });
  const pulledAtOnce = watched.pulled;
  assert.ok(pulledAtOnce <= 4, `pulled ${String(pulledAtOnce)} responses before any was sent`);
  await roundTrips(session);
  assert.ok(watched.queue.length > total / 2, "the rest must wait in the session");

  let bytes = 0;
  const all = new Promise<void>((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (watched.queue.length === 0 && bytes >= total * value.length) resolve();
    });
  });
  stream.resume();
  await all;
  session.destroy();
});

/** Some round trips, in which the windows fill as far as they go. */
async function roundTrips(session: Awaited<ReturnType<typeof rawSession>>): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => session.ping(resolve));
}

test("lease renewals are answered one by one, in order", async () => {
  const { ID } = await client.leaseGrant({ TTL: 30, ID: 77 });
  assert.equal(ID, 77n);
  let release = (): void => undefined;
  server.edge.hold = new Promise((resolve) => {
    release = resolve;
  });
  const stream = client.keepAlive();
  for (const id of [77n, 78n, 77n]) stream.renew(id);
  const replies = stream.replies();
  // Calls on the same connection: what was sent before them has arrived.
  for (let i = 0; i < 5; i++) await client.status();
  assert.equal(server.edge.calls.filter((name) => name === "leaseKeepAlive").length, 1);
  server.edge.hold = undefined;
  release();
  const got: (readonly [bigint | undefined, bigint | undefined])[] = [];
  for (let i = 0; i < 3; i++) {
    const { value } = await replies.next();
    got.push([value?.ID, value?.TTL]);
  }
  assert.deepEqual(got, [
    [77n, 30n],
    [78n, 0n],
    [77n, 30n],
  ]);
  stream.close();
});
