import http2 from "node:http2";

import { type Server, type ServerOptions, createServer } from "../../src/api/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { type TestCa, createCa } from "./certificates.ts";
import { FakeEdge } from "./fake-edge.ts";

/** One certificate authority for all tests of a file. */
export const ca: TestCa = createCa("coffer test CA");
const serverLeaf = ca.issue({ name: "server", use: "serverAuth" });

export interface TestServer extends AsyncDisposable {
  readonly edge: FakeEdge;
  readonly server: Server;
  /** Ports in the order of `listen`: https, then http. */
  readonly port: number;
  readonly plainPort: number;
  readonly refused: string[];
  readonly ended: string[];
  readonly handled: { readonly path: string; readonly status: number }[];
  readonly logged: string[];
  /** What was told of each answer to /health. */
  readonly health: boolean[];
}

/** Metrics that are told of calls as they end, and count nothing. */
export function callMetrics(
  handled: (path: string, status: number) => void = () => undefined,
): ServerOptions["metrics"] {
  const ignore = (): void => undefined;
  return {
    rpc: (_type, service, method) => ({
      started: ignore,
      received: ignore,
      sent: ignore,
      handled: (status) => handled(`/${service}/${method}`, status),
    }),
    clientReceivedBytes: { inc: ignore },
    clientSentBytes: { inc: ignore },
  };
}

/** A server on free ports, over TLS and plaintext, in front of a fake edge. */
export async function startServer(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const edge = new FakeEdge();
  const refused: string[] = [];
  const ended: string[] = [];
  const handled: { path: string; status: number }[] = [];
  const logged: string[] = [];
  const health: boolean[] = [];
  const server = createServer({
    edge,
    log: { ...silentLogger, error: (message) => void logged.push(message) },
    tls: { ...serverLeaf, clientCa: ca.pem },
    listen: [
      { scheme: "https", host: "127.0.0.1", port: 0 },
      { scheme: "http", host: "127.0.0.1", port: 0 },
    ],
    versions: { etcd: "3.6.14", cluster: "3.6.0", coffer: "0.1.0" },
    metricsText: () => "# HELP up 1\nup 1\n",
    onHealth: (isHealthy) => void health.push(isHealthy),
    onRefusedConnection: ({ kind, reason }) =>
      void (kind === "ended" ? ended : refused).push(reason),
    metrics: callMetrics((path, status) => void handled.push({ path, status })),
    ...options,
  });
  const bound = await server.listen();
  return {
    edge,
    server,
    port: bound[0]?.port ?? 0,
    plainPort: bound[1]?.port ?? 0,
    refused,
    ended,
    handled,
    logged,
    health,
    [Symbol.asyncDispose]: () => server.close(),
  };
}

export const serverCertificate: { readonly cert: string; readonly key: string } = serverLeaf;

/** A bare HTTP/2 client over TLS, for what a well-behaved client would not send. */
export async function rawSession(port: number): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`https://127.0.0.1:${String(port)}`, { ca: ca.pem });
  session.on("error", () => undefined);
  await new Promise((resolve, reject) => {
    session.once("connect", resolve);
    session.once("error", reject);
  });
  return session;
}

export interface RawReply {
  /** NaN: reset before any. */
  readonly httpStatus: number;
  readonly status: string | undefined;
  readonly message: string | undefined;
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends `chunks` as separate writes and reads the whole reply. */
export async function rawCall(
  session: http2.ClientHttp2Session,
  path: string,
  chunks: readonly Uint8Array[],
  headers: http2.OutgoingHttpHeaders = {},
): Promise<RawReply> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const reply = readReply(stream);
  for (const chunk of chunks) {
    await new Promise((resolve) => stream.write(chunk, resolve));
  }
  stream.end();
  return reply;
}

export function readReply(stream: http2.ClientHttp2Stream): Promise<RawReply> {
  const received: Buffer[] = [];
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("response", (got) => {
    headers = got;
  });
  stream.on("trailers", (got) => {
    trailers = got;
  });
  stream.on("data", (chunk: Buffer) => received.push(chunk));
  stream.on("error", () => undefined);
  return new Promise((resolve) => {
    stream.on("close", () => {
      const told = trailers["grpc-status"] === undefined ? headers : trailers;
      resolve({
        httpStatus: Number(headers[":status"]),
        status: told["grpc-status"]?.toString(),
        message: told["grpc-message"]?.toString(),
        headers: { ...headers, ...trailers },
        body: Buffer.concat(received),
      });
    });
  });
}
