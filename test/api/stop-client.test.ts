import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import tls from "node:tls";

import {
  FLAG_END_HEADERS,
  clientHello,
  frame,
  frameType,
  headerBlocks,
  windowUpdate,
} from "../bench/http2-frames.ts";
import { frameOf } from "../../src/proto/mod.ts";
import { closed } from "../setup/closed.ts";
import { ca, rawCall, rawSession, startServer } from "./harness.ts";

/** A request whose body is still to come. */
function request(stream: number, path: string, contentType: string): Buffer {
  const { first } = headerBlocks([
    [":method", "POST"],
    [":scheme", "https"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", contentType],
  ]);
  return frame(frameType.headers, FLAG_END_HEADERS, stream, first);
}

test("a connection that breaks while a request is answered early does not stop the member", async () => {
  await using server = await startServer();
  const options = { port: server.port, host: "127.0.0.1", ca: ca.pem, ALPNProtocols: ["h2"] };
  const socket = tls.connect(options);
  socket.on("error", () => undefined);
  socket.resume();
  await once(socket, "secureConnect");
  // Two messages where one belongs, and a body that nobody reads: both are answered at once.
  const call = request(1, "/etcdserverpb.KV/Put", "application/grpc");
  const message = frame(frameType.data, 0, 1, frameOf(Buffer.alloc(4)));
  const plain = request(3, "/x", "text/plain");
  const body = frame(frameType.data, 0, 3, Buffer.alloc(100));
  socket.write(Buffer.concat([clientHello(), call, message, message, plain, body]));
  // The window is at its widest already (RFC 9113 §6.9.1).
  socket.end(Buffer.concat([request(5, "/x", "text/plain"), windowUpdate(1)]));
  await closed(socket);
  const good = await rawSession(server.port);
  const reply = await rawCall(good, "/etcdserverpb.KV/Range", []);
  good.destroy();
  assert.equal(reply.httpStatus, 200);
});
