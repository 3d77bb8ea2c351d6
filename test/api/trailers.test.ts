import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import test from "node:test";

import { sendOkTrailers } from "../../src/api/grpc/trailers.ts";

const DEADLINE = { timeout: 10_000 };

/** Answers one call on a plain HTTP/2 server; the pieces in which the frame and the trailers came. */
async function answerOnce(onWantTrailers: (stream: ServerHttp2Stream) => void): Promise<{
  readonly status: unknown;
  readonly pieces: number;
}> {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.on("wantTrailers", () => onWantTrailers(stream));
    stream.resume();
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.end("frame");
    stream._final(() => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const call = client.request({ ":method": "POST" });
    const pieces = new Set<number>();
    let status: unknown;
    call.on("data", () => pieces.add(client.socket.bytesRead));
    call.on("trailers", (trailers) => {
      status = trailers["grpc-status"];
      pieces.add(client.socket.bytesRead);
    });
    call.end();
    await once(call, "close");
    return { status, pieces: pieces.size };
  } finally {
    client.destroy();
    server.close();
  }
}

test("the trailers of an OK leave with the frame", DEADLINE, async () => {
  const sent: boolean[] = [];
  const answer = await answerOnce((stream) => sent.push(sendOkTrailers(stream)));
  assert.deepEqual(sent, [true], "node's handle is not where it was: see trailers.ts");
  assert.deepEqual(answer, { status: "0", pieces: 1 });
});

test("node's own trailers leave in a piece of their own", DEADLINE, async () => {
  const answer = await answerOnce((stream) => stream.sendTrailers({ "grpc-status": "0" }));
  assert.deepEqual(answer, { status: "0", pieces: 2 });
});
