import assert from "node:assert/strict";
import http2 from "node:http2";
import { test } from "node:test";
import { frameOf } from "../../src/proto/mod.ts";
import { rawCall, rawSession, startServer } from "./harness.ts";

const PUT = "/etcdserverpb.KV/Put";
const HEALTH = "/grpc.health.v1.Health/Check";
const WATCH = "/etcdserverpb.Watch/Watch";

/** What a client has sent when it changes its mind. */
const beginnings: Readonly<Record<string, (stream: http2.ClientHttp2Stream) => void>> = {
  nothing: () => undefined,
  "half a message": (stream) => stream.write(Buffer.of(0, 0, 0, 0, 9, 1)),
  "a compressed message": (stream) => stream.write(Buffer.of(1, 0, 0, 0, 0)),
  "a whole message": (stream) => stream.end(frameOf(Buffer.alloc(0))),
};

test("a client that resets its calls, or goes away in them, ends nothing but them", async () => {
  await using server = await startServer();
  for (const begin of Object.values(beginnings)) {
    for (const path of [PUT, HEALTH, WATCH, "/no.such/Method", "/health"]) {
      const session = await rawSession(server.port);
      const open = (): http2.ClientHttp2Stream => {
        const stream = session.request({
          ":method": "POST",
          ":path": path,
          "content-type": "application/grpc",
          te: "trailers",
        });
        stream.on("error", () => undefined);
        begin(stream);
        return stream;
      };
      for (let i = 0; i < 20; i++) open().close(http2.constants.NGHTTP2_CANCEL);
      for (let i = 0; i < 5; i++) open();
      // The server has seen them all.
      await new Promise((answered) => session.ping(answered));
      session.destroy();
    }
  }
  const session = await rawSession(server.port);
  const { status } = await rawCall(session, HEALTH, [frameOf(Buffer.alloc(0))]);
  assert.equal(status, "0");
  session.close();
});
