import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";

import { type Client, connect } from "../../src/client/mod.ts";
import { FrameReader, frameOf, rpc } from "../../src/proto/mod.ts";

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

type Answer = (stream: http2.ServerHttp2Stream) => void;

/** A server that answers its n-th request by the n-th of `answers`, and says over which connection. */
async function serverOf(
  context: TestContext,
  answers: readonly Answer[],
): Promise<{ readonly client: Client; readonly connections: readonly number[] }> {
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  const connections: number[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.resume();
    const answer = answers[connections.length];
    connections.push(sessions.findIndex((session) => session === stream.session));
    answer?.(stream);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ endpoints: [`http://127.0.0.1:${String(port)}`] });
  context.after(async () => {
    await client.close();
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { client, connections };
}

const refuse: Answer = (stream) => stream.close(NGHTTP2_REFUSED_STREAM);

/** The server began to close before it saw the request (RFC 9113 §6.8), and last saw the one before. */
const goAway: Answer = (stream) =>
  stream.session?.goaway(http2.constants.NGHTTP2_NO_ERROR, (stream.id ?? 0) - 2);

/** Tells what it was sent, and ends when the client does. */
const echoWatches: Answer = (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  const reader = new FrameReader({ bytesMax: 1024, errorOf: ({ kind }) => new Error(kind) });
  stream.on("data", (chunk: Buffer) => {
    reader.push(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      const { requestUnion } = rpc.WatchRequest.decode(next);
      assert.ok(requestUnion?.$case === "cancelRequest");
      const response = rpc.WatchResponse.fromPartial({ watchId: requestUnion.value.watchId });
      stream.write(frameOf(rpc.WatchResponse.encode(response).finish()));
    }
  });
};

const answerRange: Answer = (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(
    frameOf(rpc.RangeResponse.encode(rpc.RangeResponse.fromPartial({ count: 7n })).finish()),
  );
};

for (const [name, refused] of [
  ["a stream that was refused", refuse],
  ["a connection that was closing", goAway],
] as const) {
  test(`${name}: the call is made again over another connection`, async (context) => {
    const { client, connections } = await serverOf(context, [answerRange, refused, answerRange]);
    await client.range({ key: Buffer.from("k") });
    assert.equal((await client.range({ key: Buffer.from("k") })).count, 7n);
    assert.deepEqual(connections, [0, 0, 1]);
  });
}

test("refused twice: told, and not asked a third time", async (context) => {
  const { client, connections } = await serverOf(context, [refuse, refuse, answerRange]);
  await assert.rejects(client.range({ key: Buffer.from("k") }), {
    code: "unreachable",
    message: /REFUSED_STREAM/,
  });
  assert.deepEqual(connections, [0, 1]);
});

test("broken in any other way: it may have been done, and is not asked again", async (context) => {
  const { client, connections } = await serverOf(context, [
    (stream) => stream.close(NGHTTP2_INTERNAL_ERROR),
    answerRange,
  ]);
  await assert.rejects(client.put({ key: Buffer.from("k") }), { code: "unreachable" });
  assert.deepEqual(connections, [0]);
});

for (const [name, refused] of [
  ["a stream that was refused", refuse],
  ["a connection that was closing", goAway],
] as const) {
  test(`${name}: a watch is made again, with what was sent and what comes later`, async (context) => {
    const { client, connections } = await serverOf(context, [answerRange, refused, echoWatches]);
    await client.range({ key: Buffer.from("k") });
    const watch = client.watch();
    watch.cancel(1);
    watch.cancel(2);
    const told: bigint[] = [];
    for await (const { watchId } of watch.responses()) {
      told.push(watchId);
      if (told.length === 2) watch.cancel(3);
      if (told.length === 3) watch.close();
    }
    assert.deepEqual(told, [1n, 2n, 3n]);
    assert.deepEqual(connections, [0, 0, 1]);
  });
}

test("a watch that was refused twice, or has answered, is not made again", async (context) => {
  const answerOnce: Answer = (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    const response = rpc.WatchResponse.fromPartial({ watchId: 1n });
    stream.write(frameOf(rpc.WatchResponse.encode(response).finish()), () => refuse(stream));
  };
  const { client, connections } = await serverOf(context, [refuse, refuse, answerOnce]);
  const responses = async (): Promise<void> => {
    for await (const { watchId } of client.watch().responses()) assert.equal(watchId, 1n);
  };
  await assert.rejects(responses(), { code: "unreachable" });
  assert.deepEqual(connections, [0, 1]);
  await assert.rejects(responses(), { code: "unreachable" });
  assert.deepEqual(connections, [0, 1, 1]);
});

test("a watch that is closed while it is made again ends without an error", async (context) => {
  let close: () => void = () => assert.fail();
  const { client, connections } = await serverOf(context, [
    refuse,
    () => {
      close();
    },
  ]);
  const watch = client.watch();
  close = () => watch.close();
  for await (const response of watch.responses()) assert.fail(String(response.watchId));
  assert.deepEqual(connections, [0, 1]);
});

test("a call that is given up as it is refused is not waited for", async (context) => {
  const given = new AbortController();
  const { client, connections } = await serverOf(context, [
    (stream) => {
      given.abort();
      refuse(stream);
    },
  ]);
  const call = client.range({ key: Buffer.from("k") }, { signal: given.signal });
  await assert.rejects(call, { code: "canceled" });
  const watch = client.watch({ signal: given.signal }).responses();
  await assert.rejects(watch.next(), { code: "canceled" });
  assert.ok(connections.length >= 1);
});
