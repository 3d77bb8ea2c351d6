import { once } from "node:events";
import * as http2 from "node:http2";
import { frameOf } from "../../src/proto/mod.ts";

/** Calls that no well-behaved client makes: any metadata, any bytes. */

export interface RawReply {
  /** grpc-status; undefined when the stream was reset. */
  readonly status: string | undefined;
  readonly message: string;
  readonly httpStatus: number;
  /** All headers and trailers, as text. */
  readonly headers: string;
  readonly body: Buffer;
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
      });
    });
  });
}
