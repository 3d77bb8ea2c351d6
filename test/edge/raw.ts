import { once } from "node:events";
import * as http2 from "node:http2";
import * as tls from "node:tls";
import { frameOf } from "../../src/proto/mod.ts";
import {
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  clientHello,
  frame,
  frameType,
  plainField,
} from "../bench/http2-frames.ts";

/** Calls that no well-behaved client makes: any metadata, any bytes. */

export interface RawReply {
  /** grpc-status; undefined when the stream was reset. */
  readonly status: string | undefined;
  readonly message: string;
  readonly httpStatus: number;
  /** All headers and trailers, as text. */
  readonly headers: string;
  readonly body: Buffer;
  /** HTTP/2 error code that the stream ended with; 0: none. */
  readonly reset: number;
}

export async function rawSession(endpoint: string, ca: string): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(endpoint, { ca });
  await once(session, "connect");
  session.on("error", () => undefined);
  return session;
}

/** One unary call; resolves however it ends. */
export function rawCall(
  session: http2.ClientHttp2Session,
  path: string,
  message: Uint8Array,
  metadata: http2.OutgoingHttpHeaders = {},
): Promise<RawReply> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...metadata,
  });
  stream.on("error", () => undefined);
  const told: http2.IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (headers) => Object.assign(told, headers));
  stream.on("trailers", (headers) => Object.assign(told, headers));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.end(frameOf(message));
  return new Promise((resolve) => {
    stream.once("close", () => {
      resolve({
        status: told["grpc-status"]?.toString(),
        message: decodeURIComponent(told["grpc-message"]?.toString() ?? ""),
        httpStatus: Number(told[":status"] ?? 0),
        headers: JSON.stringify(told),
        body: Buffer.concat(chunks),
        reset: stream.rstCode,
      });
    });
  });
}

const CONTINUATION = 9;
const FRAME_BYTES_MAX = 16_384;

/**
 * What comes back for a request of these header fields, in whatever bytes and length: "answered", or
 * "reset", "goaway" or "closed" if the server does not take it. `message` is its body.
 */
export async function rawHeaders(
  endpoint: string,
  ca: string,
  fields: readonly (readonly [string, string])[],
  message: Uint8Array = new Uint8Array(),
): Promise<string> {
  const { port } = new URL(endpoint);
  const socket = tls.connect({ port: Number(port), host: "127.0.0.1", ca, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const ended = new Promise<string>((resolve) => {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.once("close", () => resolve("closed"));
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        const end = FRAME_HEADER_BYTES + (bytes.length < 3 ? 0 : bytes.readUIntBE(0, 3));
        if (bytes.length < end) return;
        const name = ENDS.get(bytes[3] ?? 0);
        if (name !== undefined) resolve(name);
        bytes = bytes.subarray(end);
      }
    });
  });
  socket.write(clientHello());
  const block = Buffer.concat(fields.map(([name, value]) => plainField(name, value)));
  for (let at = 0; at < block.length; at += FRAME_BYTES_MAX) {
    const type = at === 0 ? frameType.headers : CONTINUATION;
    const flags = at + FRAME_BYTES_MAX < block.length ? 0 : FLAG_END_HEADERS;
    socket.write(frame(type, flags, 1, block.subarray(at, at + FRAME_BYTES_MAX)));
  }
  socket.write(frame(frameType.data, FLAG_END_STREAM, 1, Buffer.from(frameOf(message))));
  const outcome = await ended;
  socket.destroy();
  return outcome;
}

const ENDS: ReadonlyMap<number, string> = new Map([
  [frameType.headers, "answered"],
  [frameType.rstStream, "reset"],
  [frameType.goaway, "goaway"],
]);
