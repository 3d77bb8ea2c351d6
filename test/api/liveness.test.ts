import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";

import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  clientHello,
  frame,
  frameType,
} from "../bench/http2-frames.ts";
import { ca, startServer } from "./harness.ts";
import { closed } from "../setup/closed.ts";

/** The answer has time: client and server share one event loop, on a machine that does more. */
const SOON = { pingMs: 50, pongMs: 2000 };

test("a client that answers no ping is cut, one that does keeps its stream", async () => {
  await using server = await startServer({ limits: SOON });
  const alive = http2.connect(`https://127.0.0.1:${String(server.port)}`, { ca: ca.pem });
  const stream = alive.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  await once(stream, "response");
  const pings: Buffer[] = [];
  alive.on("ping", (payload: Buffer) => pings.push(payload));
  const gone = net.connect(server.plainPort, "127.0.0.1");
  gone.write(clientHello());
  gone.write(frame(frameType.settings, FLAG_ACK, 0, Buffer.alloc(0)));
  gone.resume();
  await closed(gone);
  if (pings.length === 0) await once(alive, "ping");
  assert.equal(alive.closed, false);
  assert.equal(stream.closed, false);
  alive.destroy();
});

test("a client is asked again and again, until it is gone or nobody has used it for long", async () => {
  await using server = await startServer({ limits: { ...SOON, idleMs: 400 } });
  const idle = http2.connect(`https://127.0.0.1:${String(server.port)}`, { ca: ca.pem });
  let pings = 0;
  idle.on("ping", () => pings++);
  await closed(idle);
  assert.ok(pings > 2, `${String(pings)} pings`);
  const gone = net.connect(server.plainPort, "127.0.0.1");
  gone.resume();
  gone.write(clientHello());
  gone.write(frame(frameType.settings, FLAG_ACK, 0, Buffer.alloc(0)));
  // The first ping is answered, the second is not.
  await answerOnePing(gone);
  await closed(gone);
});

test("a connection that a protocol error has ended is not kept", async () => {
  await using server = await startServer({ limits: SOON });
  const socket = net.connect(server.plainPort, "127.0.0.1");
  const received: Buffer[] = [];
  socket.on("data", (chunk) => received.push(chunk));
  // An index that the dynamic table does not have (RFC 7541 §2.3.3).
  const block = Buffer.from([0xff, 0x7f]);
  socket.end(Buffer.concat([clientHello(), frame(frameType.headers, FLAG_END_HEADERS, 1, block)]));
  await closed(socket);
  const goaway = Buffer.concat(received).subarray(-17);
  assert.equal(goaway[3], frameType.goaway);
  assert.equal(goaway.readUInt32BE(13), http2.constants.NGHTTP2_COMPRESSION_ERROR);
});

/** Answers the first ping that comes, when nothing else does any more. */
function answerOnePing(socket: net.Socket): Promise<void> {
  let received = Buffer.alloc(0);
  return new Promise((resolve) => {
    const listener = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const ping = received.subarray(-17);
      if (ping[3] !== frameType.ping || ping[4] !== 0) return;
      socket.off("data", listener);
      socket.write(frame(frameType.ping, FLAG_ACK, 0, ping.subarray(9)), () => resolve());
    };
    socket.on("data", listener);
  });
}
