import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { spareLastError } from "../../src/api/grpc/last-write.ts";

/** What node hands on to callbacks that wait for the end of the writing. */
function handedOn(stream: ServerHttp2Stream): Error | null {
  return (Reflect.get(stream, "_writableState") as { readonly errored: Error | null }).errored;
}

/** A server's stream whose client has sent its request, as `serve` answers it. */
async function streamOf(
  context: TestContext,
  serve: (stream: ServerHttp2Stream) => void,
): Promise<{ readonly errors: readonly unknown[]; readonly stream: ServerHttp2Stream }> {
  const server = http2.createServer().listen(0, "127.0.0.1");
  context.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = http2.connect(`http://127.0.0.1:${port}`);
  context.after(() => client.destroy());
  const request = client.request({ ":method": "POST" });
  request.on("error", () => undefined);
  request.resume();
  request.end("question");
  const [stream] = (await once(server, "stream")) as [ServerHttp2Stream];
  const errors: unknown[] = [];
  stream.on("error", (error) => errors.push(error));
  spareLastError(stream);
  stream.resume();
  stream.on("end", () => serve(stream));
  await new Promise((resolve) => stream.once("close", resolve));
  return { errors, stream };
}

test("an answered stream is told of no error, and node has one to hand on", async (context) => {
  const { errors, stream } = await streamOf(context, (answered) => {
    answered.respond({ ":status": 200 });
    answered.end("answer");
  });
  assert.deepEqual(errors, []);
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
  assert.equal(handedOn(stream)?.message, "the stream has ended");
});

test("a stream that fails keeps its own error, and tells it", async (context) => {
  const own = new Error("its own");
  const { errors, stream } = await streamOf(context, (failing) => failing.destroy(own));
  assert.deepEqual(errors, [own]);
  assert.equal(handedOn(stream), own);
});

test("one that the client resets is told of what it is told without", async (context) => {
  const { errors, stream } = await streamOf(context, (kept) => {
    kept.respond({ ":status": 200 });
    kept.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  });
  assert.deepEqual(
    errors.map((error) => (error as NodeJS.ErrnoException).code),
    ["ERR_HTTP2_STREAM_ERROR"],
  );
  assert.equal(handedOn(stream), errors[0]);
});
