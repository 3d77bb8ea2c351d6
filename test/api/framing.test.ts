import assert from "node:assert/strict";
import { constants } from "node:http2";
import { after, before, test } from "node:test";

import { CofferError } from "../../src/errors.ts";
import { frameOf, rpc } from "../../src/proto/mod.ts";
import { type TestServer, rawCall, rawSession, readReply, startServer } from "./harness.ts";

const PUT = "/etcdserverpb.KV/Put";
let server: TestServer;
let session: Awaited<ReturnType<typeof rawSession>>;

before(async () => {
  server = await startServer();
  session = await rawSession(server.port);
});
after(async () => {
  session.close();
  await server[Symbol.asyncDispose]();
});

function put(key: string, value = "v"): Buffer {
  const message = rpc.PutRequest.create({ key: Buffer.from(key), value: Buffer.from(value) });
  return frameOf(rpc.PutRequest.encode(message).finish());
}

/** Keeps puts waiting until the function is called. */
function holdPuts(): () => void {
  let release = (): void => undefined;
  server.edge.hold = new Promise((resolve) => {
    release = resolve;
  });
  return () => {
    server.edge.hold = undefined;
    release();
  };
}

test("a request cut into single bytes is put together", async () => {
  const bytes = [...put("split")].map((byte) => Uint8Array.of(byte));
  const reply = await rawCall(session, PUT, bytes);
  assert.equal(reply.status, "0");
  assert.equal(reply.headers["content-type"], "application/grpc");
  const response = rpc.PutResponse.decode(reply.body.subarray(5));
  assert.equal(response.header?.memberId, 0x8e9e05c52164694dn);
  assert.equal(Buffer.from(server.edge.store.get("split")?.value ?? []).toString(), "v");
});

test("a unary call of two messages, of none, and of half a one is refused without effect", async () => {
  const two = await rawCall(session, PUT, [Buffer.concat([put("two-a"), put("two-b")])]);
  assert.equal(two.status, "13");
  assert.match(two.message ?? "", /must send one message, and more came/);
  const none = await rawCall(session, PUT, []);
  assert.equal(none.status, "13");
  const half = await rawCall(session, PUT, [put("half").subarray(0, -1)]);
  assert.equal(half.status, "13");
  assert.match(half.message ?? "", /ends within a message/);
  for (const key of ["two-a", "two-b", "half"]) assert.equal(server.edge.store.has(key), false);
});

test("compressed and unknown flags are refused in clear words", async () => {
  const compressed = put("compressed");
  compressed[0] = 1;
  const reply = await rawCall(session, PUT, [compressed], { "grpc-encoding": "gzip" });
  assert.equal(reply.status, "12");
  assert.match(reply.message ?? "", /compressed messages are not accepted/);
  assert.equal(reply.headers["grpc-accept-encoding"], "identity");
  const odd = put("odd");
  odd[0] = 7;
  assert.equal((await rawCall(session, PUT, [odd])).status, "13");
});

test("refusal 60: a message over the limit is refused by its prefix alone", async () => {
  const prefix = Buffer.from([0, 0, 0x20, 0, 1]);
  const stream = session.request({
    ":method": "POST",
    ":path": PUT,
    "content-type": "application/grpc",
  });
  const replied = readReply(stream);
  stream.write(prefix);
  const reply = await replied;
  assert.equal(reply.status, "8");
  assert.equal(reply.message, "grpc: received message larger than max (2097153 vs. 2097152)");
});

test("a message of just the limit passes through the flow-control windows", async () => {
  const value = "x".repeat(2 * 1024 * 1024 - 20);
  const reply = await rawCall(session, PUT, [put("big", value)]);
  assert.equal(reply.status, "0");
  assert.equal(server.edge.store.get("big")?.value.length, value.length);
});

test("bytes that are no PutRequest end in InvalidArgument", async () => {
  const reply = await rawCall(session, PUT, [frameOf(Buffer.from([0x0a, 0xff, 0xff, 0x03, 1]))]);
  assert.equal(reply.status, "3");
  assert.match(reply.message ?? "", /not valid protobuf: it ends within a field/);
  const path = "/etcdserverpb.Lease/LeaseGrant";
  const generated = await rawCall(session, path, [frameOf(Buffer.from([0x08]))]);
  assert.equal(generated.status, "3");
});

test("unknown methods and services are told as grpc-go tells them, and which way there is", async () => {
  const cases = [
    ["/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"],
    [
      "/etcdserverpb.Auth/AuthEnable",
      "unknown service etcdserverpb.Auth: rights are rows of a policy here, see coffer policy --help",
    ],
    [
      "/etcdserverpb.Maintenance/Defragment",
      "unknown method Defragment for service etcdserverpb.Maintenance: free space is given back by itself",
    ],
    ["/v3lockpb.Nothing/Lock", "unknown service v3lockpb.Nothing"],
    ["/nothing", 'malformed method name: "/nothing"'],
  ] as const;
  for (const [path, message] of cases) {
    const reply = await rawCall(session, path, [frameOf(Buffer.alloc(0))]);
    assert.equal(reply.status, "12");
    assert.equal(reply.message, message);
  }
});

test("a wrong content type is not taken for gRPC", async () => {
  const reply = await rawCall(session, PUT, [put("json")], { "content-type": "application/json" });
  assert.equal(reply.httpStatus, 404);
  assert.equal(server.edge.store.has("json"), false);
});

test("a deadline ends a call that takes longer, and its late answer goes nowhere", async () => {
  const release = holdPuts();
  const reply = await rawCall(session, PUT, [put("late")], { "grpc-timeout": "30m" });
  assert.equal(reply.status, "4");
  assert.equal(reply.message, "context deadline exceeded");
  release();
  assert.equal((await rawCall(session, PUT, [put("after")])).status, "0");
});

test("a malformed deadline is refused", async () => {
  for (const timeout of ["5", "5x", "123456789S", "-1S"]) {
    const reply = await rawCall(session, PUT, [put("t")], { "grpc-timeout": timeout });
    assert.equal(reply.message, "malformed grpc-timeout");
  }
});

test("a cancelled call is forgotten, and the connection goes on", async () => {
  const release = holdPuts();
  const stream = session.request({
    ":method": "POST",
    ":path": PUT,
    "content-type": "application/grpc",
  });
  const replied = readReply(stream);
  const came = new Promise<void>((resolve) => {
    server.edge.onPut = resolve;
  });
  stream.end(put("cancel"));
  await came;
  stream.close(constants.NGHTTP2_CANCEL);
  await replied;
  // A round trip: the server has read the reset.
  await new Promise((resolve) => session.ping(resolve));
  release();
  assert.equal((await rawCall(session, PUT, [put("after")])).status, "0");
  assert.ok(server.handled.some(({ path, status }) => path === PUT && status === 1));
});

test("only expected errors are told; what is unexpected stays in the log", async () => {
  server.edge.nextError = new Error("secret 4711");
  const reply = await rawCall(session, PUT, [put("boom")]);
  assert.equal(reply.status, "13");
  assert.equal(reply.message, "coffer: internal error");
  assert.ok(server.logged.some((line) => line.includes("unexpected")));
  const cause = new Error("secret 4711");
  server.edge.nextError = new CofferError("no-space", undefined, { cause });
  const expected = await rawCall(session, PUT, [put("boom")]);
  assert.equal(expected.status, "8");
  assert.equal(expected.message, "etcdserver: mvcc: database space exceeded");
});

test("messages beyond ASCII are percent-encoded", async () => {
  server.edge.nextError = new CofferError("invalid-argument", 'name "né%\n"');
  const reply = await rawCall(session, PUT, [put("x")]);
  assert.equal(reply.message, 'coffer: invalid argument: name "n%C3%A9%25%0A"');
});

test("metadata reaches the edge as the caller", async () => {
  await rawCall(session, PUT, [put("m")], {
    authorization: "Bearer abc",
    "coffer-tenant": "team-a",
    "x-request-id": "req-1",
    "user-agent": "tester/1",
    hasleader: "true",
  });
  const caller = server.edge.caller;
  assert.equal(caller?.authorization, "Bearer abc");
  assert.equal(caller?.tenantName, "team-a");
  assert.match(caller?.requestId ?? "", /^req-1~[A-Za-z0-9_-]{12}$/);
  assert.equal(caller?.userAgent, "tester/1");
  assert.equal(caller?.requireLeader, true);
  assert.equal(caller?.certificate, undefined);
  assert.match(caller?.peerAddress ?? "", /^127\.0\.0\.1:\d+$/);
  await rawCall(session, PUT, [put("m")], {
    token: "t1",
    authorization: "x",
    "x-request-id": "a b",
  });
  assert.equal(server.edge.caller?.authorization, "t1");
  assert.match(server.edge.caller?.requestId ?? "", /^[A-Za-z0-9_-]{12}$/);
});

test("no two requests have one id, whatever the client calls them", async () => {
  const idOf = async (requestId: string): Promise<string> => {
    await rawCall(session, PUT, [put("r")], { "x-request-id": requestId });
    return server.edge.caller?.requestId ?? "";
  };
  const first = await idOf("same");
  assert.notEqual(await idOf("same"), first);
  assert.match(await idOf(first), /^[A-Za-z0-9_-]{12}$/);
});

test("a header list over the limit resets the stream and not the server", async () => {
  const reply = await rawCall(session, PUT, [put("h")], { authorization: "x".repeat(20_000) });
  assert.ok(Number.isNaN(reply.httpStatus));
  const fresh = await rawSession(server.port);
  assert.equal((await rawCall(fresh, PUT, [put("h")])).status, "0");
  fresh.close();
});
