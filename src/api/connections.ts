import http from "node:http";
import http2 from "node:http2";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { setImmediate as nextTurn } from "node:timers/promises";

import type { PeerCertificate } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type GrpcService, type Peer, callerOf, stopClient } from "./grpc/mod.ts";
import type { Web, WebResponse } from "./http/mod.ts";
import type { ServerLimits } from "./limits.ts";
import { slowableConnection } from "./slow-down.ts";
import { destroyLate } from "./late-destroy.ts";
import { endWhenGone } from "./liveness.ts";

export interface ConnectionsOptions {
  readonly grpc: GrpcService;
  readonly web: Web;
  readonly limits: ServerLimits;
  readonly log: Logger;
}

/** Speaks HTTP on accepted sockets and hands each request to gRPC or to the plain endpoints. */
export interface Connections {
  accept(socket: Socket, protocol: "h2" | "http/1.1", peer: Peer): void;
  readonly open: number;
  /**
   * Asks `problemOf` about every connection with a client certificate. Those that it names a problem
   * of get GOAWAY, their streams end with `invalid-token`, calls under way are answered, and what is
   * left is cut after drainMs; `onEnded` is told of each.
   */
  recheck(
    problemOf: (certificate: PeerCertificate) => string | undefined,
    onEnded: (problem: string, peer: Peer) => void,
  ): Promise<void>;
  /** GOAWAY to all, `endStreams` for what would never end, then what is left is cut after drainMs. */
  close(endStreams: () => void): Promise<void>;
}

/** Each question costs a signature, a tenth of a millisecond. */
const ASKED_IN_A_TURN = 16;

/**
 * Neither HTTP server listens: sockets come from the listeners, verified and told apart. That keeps
 * `request` listeners, whose compatibility objects cost as much as a call, away from HTTP/2.
 */
export function createConnections(options: ConnectionsOptions): Connections {
  const sessions = new Map<http2.ServerHttp2Session, Peer>();
  const plainSockets = new Set<Socket>();
  const peers = new WeakMap<Socket, Peer>();
  const plain = createPlainServer(options, peers);
  const h2 = http2.createServer(h2Options(options.limits));
  let accepting: { readonly peer: Peer } | undefined;
  h2.on("session", (session) => {
    if (accepting === undefined) return session.destroy();
    startSession(session, accepting.peer, options);
    sessions.set(session, accepting.peer);
    session.on("close", () => sessions.delete(session));
  });
  h2.on("sessionError", (error) => options.log.debug("HTTP/2 connection failed", { error }));
  let closing = false;
  return {
    accept: (socket, protocol, peer) => {
      socket.on("error", (error) => options.log.debug("Connection failed", { error }));
      if (closing) {
        socket.destroy();
      } else if (protocol === "h2") {
        accepting = { peer };
        h2.emit("connection", socket);
        accepting = undefined;
      } else {
        peers.set(socket, peer);
        acceptPlain(plain, socket, options.limits);
        plainSockets.add(socket);
        socket.on("close", () => plainSockets.delete(socket));
      }
    },
    get open() {
      return sessions.size + plainSockets.size;
    },
    recheck: async (problemOf, onEnded) => {
      // Those that come meanwhile have been judged by the new context.
      const open = [...sessions];
      let asked = 0;
      for (const [session, peer] of open) {
        const { certificate } = peer;
        if (certificate === undefined || session.closed) continue;
        const problem = problemOf(certificate);
        if (problem !== undefined) {
          onEnded(problem, peer);
          endSession(session, certificate, options);
        }
        if (++asked % ASKED_IN_A_TURN === 0) await nextTurn();
      }
    },
    close: async (endStreams) => {
      closing = true;
      const closed = [...sessions.keys()].map(closeSession);
      endStreams();
      for (const socket of plainSockets) socket.destroySoon();
      await withinTime(Promise.all(closed), options.limits.drainMs);
      for (const session of sessions.keys()) session.destroy();
      for (const socket of plainSockets) socket.destroy();
    },
  };
}

function h2Options(limits: ServerLimits): http2.ServerOptions {
  return {
    maxSessionMemory: limits.sessionMebibytesMax,
    maxHeaderListPairs: 64,
    settings: {
      maxConcurrentStreams: limits.streamsMax,
      maxHeaderListSize: limits.headerBytesMax,
      initialWindowSize: limits.streamWindowBytes,
      enablePush: false,
    },
  };
}

function startSession(
  session: http2.ServerHttp2Session,
  peer: Peer,
  options: ConnectionsOptions,
): void {
  const { grpc, web, limits, log } = options;
  session.setLocalWindowSize(limits.connectionWindowBytes);
  const timer = setTimeout(() => session.destroy(), limits.firstRequestMs);
  session.once("remoteSettings", () => clearTimeout(timer));
  session.on("close", () => clearTimeout(timer));
  destroyLate(session);
  endWhenGone(session, limits);
  session.on("error", (error) => log.debug("HTTP/2 connection failed", { error }));
  const connection = slowableConnection(session, limits.streamsMax);
  const by = { ...peer, connection };
  session.on("stream", (stream, headers) => {
    if (headers[":method"] === "POST" && grpc.accepts(headers)) {
      grpc.handle(stream, headers, by, () => {
        connection.lasting(1);
        stream.on("close", () => connection.lasting(-1));
      });
    } else {
      void answerPlain(stream, { headers, peer: by, web });
    }
  });
}

/** A request over HTTP/2 that is not gRPC. */
async function answerPlain(
  stream: http2.ServerHttp2Stream,
  request: { readonly headers: http2.IncomingHttpHeaders; readonly peer: Peer; readonly web: Web },
): Promise<void> {
  stream.on("error", () => undefined);
  // A body that is not read keeps its stream open for ever.
  stream.resume();
  const { headers, peer, web } = request;
  const method = headers[":method"] ?? "";
  const target = headers[":path"] ?? "";
  const answer = await web({ method, target, caller: callerOf(headers, peer) });
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ":status": answer.status, ...answer.headers });
  await sendBody(stream, method === "HEAD" ? "" : answer.body);
  stopClient(stream);
}

/** Resolves when all is written, or the client went away. */
async function sendBody(to: NodeJS.WritableStream, body: WebResponse["body"]): Promise<void> {
  if (typeof body === "string") to.end(body);
  else await pipeline(Readable.from(body), to).catch(() => undefined);
}

function createPlainServer(
  { web, limits, log }: ConnectionsOptions,
  peers: WeakMap<Socket, Peer>,
): http.Server {
  const server = http.createServer({ maxHeaderSize: limits.headerBytesMax });
  server.maxHeadersCount = 64;
  server.on("request", (request, reply) => {
    const { method = "", url: target = "" } = request;
    const peer = peers.get(request.socket) ?? { address: "?", certificate: undefined };
    const caller = callerOf(request.headers, peer);
    void web({ method, target, caller }).then((answer) => sendPlain(reply, answer));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    log.debug("HTTP/1.1 request refused", { code: error.code });
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    const text = "coffer: this is not a request that this port understands\n";
    socket.end(
      `HTTP/1.1 ${String(status)} ${http.STATUS_CODES[status] ?? ""}\r\nconnection: close\r\n` +
        `content-length: ${String(text.length)}\r\n\r\n${text}`,
    );
  });
  return server;
}

/** One request per connection: probes and scrapers need no more, and nothing can be kept open. */
function sendPlain(reply: http.ServerResponse, answer: WebResponse): void {
  reply.shouldKeepAlive = false;
  reply.writeHead(answer.status, { ...answer.headers, connection: "close" });
  void sendBody(reply, answer.body);
}

/** node:http only times requests on servers that listen, so the whole exchange is timed here. */
function acceptPlain(server: http.Server, socket: Socket, limits: ServerLimits): void {
  const timer = setTimeout(() => socket.destroy(), limits.firstRequestMs);
  socket.on("close", () => clearTimeout(timer));
  server.emit("connection", socket);
}

/** Nothing more may come to a client whose certificate is no longer good. */
function endSession(
  session: http2.ServerHttp2Session,
  certificate: PeerCertificate,
  { grpc, limits }: ConnectionsOptions,
): void {
  session.close();
  grpc.endStreams(new CofferError("invalid-token"), certificate);
  const timer = setTimeout(() => session.destroy(), limits.drainMs);
  timer.unref();
  session.once("close", () => clearTimeout(timer));
}

function closeSession(session: http2.ServerHttp2Session): Promise<void> {
  return new Promise((resolve) => session.close(resolve));
}

/** Waits for `work`, but no longer than `ms`. */
async function withinTime(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
