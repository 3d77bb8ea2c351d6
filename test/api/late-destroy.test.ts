import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";

import { connect } from "../../src/client/mod.ts";
import {
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  clientHello,
  frame,
  frameType,
  headerBlocks,
} from "../bench/http2-frames.ts";
import { closed } from "../setup/closed.ts";
import { ca, startServer } from "./harness.ts";

function goaway(code: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(code, 4);
  return frame(frameType.goaway, 0, 0, payload);
}

function headers(flags: number, contentType: string): Buffer {
  const { first } = headerBlocks([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/etcdserverpb.KV/Put"],
    [":authority", "localhost"],
    ["content-type", contentType],
  ]);
  return frame(frameType.headers, FLAG_END_HEADERS | flags, 1, first);
}

const data = frame(frameType.data, FLAG_END_STREAM, 1, Buffer.alloc(5));

/** What comes in one piece behind a GOAWAY, which ends the process where node destroys at once. */
const PIECES: Readonly<Record<string, readonly Buffer[]>> = {
  "an error, and a request with a body": [goaway(2), headers(0, "application/grpc"), data, data],
  "no error, a request, and a frame of a wrong size": [
    goaway(0),
    headers(FLAG_END_STREAM, "text/plain"),
    frame(frameType.windowUpdate, 0, 0, Buffer.alloc(24)),
  ],
};
for (const [what, frames] of Object.entries(PIECES)) {
  test(`a client that says goodbye with ${what}, does not end the member`, async () => {
    await using server = await startServer({ limits: { pingMs: 50, pongMs: 50 } });
    const socket = net.connect(server.plainPort, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    socket.end(Buffer.concat([clientHello(), ...frames]));
    await closed(socket);
    await using client = connect({ endpoints: [`https://127.0.0.1:${server.port}`], ca: ca.pem });
    assert.notEqual((await client.status()).version, "");
  });
}
