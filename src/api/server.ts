import type { AddressInfo } from "node:net";
import net from "node:net";
import tls from "node:tls";

import type { Edge, PeerCertificate } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type Connections, createConnections } from "./connections.ts";
import { type CallMetrics, createGrpcService } from "./grpc/mod.ts";
import { type Versions, createWeb } from "./http/mod.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./limits.ts";
import { routePlaintext } from "./plaintext.ts";
import {
  type TlsOptions,
  type Verdict,
  describeCertificate,
  secureContextOptions,
  tlsServerOptions,
  verifyPeer,
} from "./tls.ts";

export interface ListenAddress {
  /** `http` is accepted on loopback addresses only. */
  readonly scheme: "https" | "http";
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

export interface ServerOptions {
  readonly edge: Edge;
  readonly log: Logger;
  /** Needed as soon as one listener is `https`. */
  readonly tls?: TlsOptions | undefined;
  readonly listen: readonly ListenAddress[];
  readonly versions: Versions;
  /** What gRPC calls are counted in. */
  readonly metrics: CallMetrics;
  /** What /metrics answers: Prometheus text. */
  readonly metricsText: () => Promise<string> | string;
  readonly limits?: Partial<ServerLimits>;
  /** Called once per answer to /health. */
  readonly onHealth?: (isHealthy: boolean) => void;
  /**
   * A connection was refused before any request, or ended since its certificate is no longer good.
   * Holds nothing secret.
   */
  readonly onRefusedConnection?: (refused: RefusedConnection) => void;
}

export interface RefusedConnection {
  /** Whether it had been accepted before. */
  readonly kind: "refused" | "ended";
  readonly reason: string;
  /** "address:port". */
  readonly address: string;
  /** x5t#S256 of its certificate; "" without one. */
  readonly thumbprint: string;
}

/** Asks whether a certificate that TLS accepted earlier is still good, and why not. */
export type ProblemOf = (certificate: PeerCertificate) => string | undefined;

/** The client port. `close` may be called again and again. */
export interface Server extends AsyncDisposable {
  /** Binds all listeners, or none. Rejects with CofferError `unavailable` causes such as EADDRINUSE. */
  listen(): Promise<readonly ListenAddress[]>;
  /** Client connections that are open now. */
  readonly connections: number;
  /**
   * New certificates, client CAs and revocation lists for the handshakes to come. Connections whose
   * client certificate has a problem now are ended, and so are handshakes that began before; the rest
   * live on. Throws what node:tls says of bad ones, and nothing has changed then. Resolves when all
   * connections were asked about.
   */
  setSecureContext(tls: TlsOptions, problemOf: ProblemOf): Promise<void>;
  /** Stops listening, sends GOAWAY, ends streams, waits for open requests up to `drainMs`. */
  close(): Promise<void>;
}

export function createServer(options: ServerOptions): Server {
  const limits: ServerLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const grpc = createGrpcService({
    edge: options.edge,
    log: options.log,
    metrics: options.metrics,
  });
  const web = createWeb(options);
  const connections = createConnections({ grpc, web, limits, log: options.log });
  const listeners = new Listeners(options, limits, connections);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = listeners.close();
    await connections.close(() => grpc.endStreams(new CofferError("stopped")));
    // A listener is closed when its last socket is, and a session that was cut off may leave one.
    listeners.cutOff();
    await closed;
    grpc.close();
  };
  return {
    listen: () => listeners.listen(),
    get connections() {
      return connections.open;
    },
    setSecureContext: (tlsOptions, problemOf) => listeners.setSecureContext(tlsOptions, problemOf),
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

/** The bound sockets. Invariant: `#tls` is what handshakes that begin now are verified against. */
class Listeners {
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #connections: Connections;
  readonly #servers: net.Server[] = [];
  /** Below TLS: what the listeners wait for when they close. */
  readonly #sockets = new Set<net.Socket>();
  #tls: TlsOptions | undefined;
  #problemOf: ProblemOf = () => undefined;
  /** Counts the secure contexts. */
  #context = 0;
  /** The context that a handshake began under, by the two ends of its connection. */
  readonly #contextOf = new Map<string, number>();

  constructor(options: ServerOptions, limits: ServerLimits, connections: Connections) {
    this.#options = options;
    this.#limits = limits;
    this.#connections = connections;
    this.#tls = options.tls;
  }

  async listen(): Promise<readonly ListenAddress[]> {
    const bound: ListenAddress[] = [];
    try {
      for (const address of this.#options.listen) bound.push(await this.#bind(address));
    } catch (error) {
      await this.close();
      throw error;
    }
    return bound;
  }

  async setSecureContext(options: TlsOptions, problemOf: ProblemOf): Promise<void> {
    const context = secureContextOptions(options);
    // Once before, so that a bad one is found while all listeners have the former.
    tls.createSecureContext(context);
    for (const server of this.#servers) {
      if (server instanceof tls.Server) server.setSecureContext(context);
    }
    this.#tls = options;
    this.#problemOf = problemOf;
    this.#context++;
    await this.#connections.recheck(problemOf, (problem, { address, certificate }) => {
      if (certificate === undefined) return;
      const reason = `${describeCertificate(certificate)} is no longer good: ${problem}`;
      const { thumbprint } = certificate;
      this.#options.onRefusedConnection?.({ kind: "ended", reason, address, thumbprint });
    });
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => new Promise((resolve) => server.close(resolve))),
    );
  }

  /** Ends the sockets that are still there. */
  cutOff(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #bind(address: ListenAddress): Promise<ListenAddress> {
    const server = address.scheme === "https" ? this.#secure() : this.#plaintext(address.host);
    server.maxConnections = this.#limits.connectionsMax;
    server.on("connection", (socket: net.Socket) => {
      const ends = endsOf(socket);
      this.#sockets.add(socket);
      this.#contextOf.set(ends, this.#context);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        this.#contextOf.delete(ends);
      });
    });
    server.on("drop", (data) => {
      const from = `${data?.remoteAddress ?? "?"}:${String(data?.remotePort ?? "?")}`;
      this.#refused("too many connections", from);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(bindError(address, cause)));
      server.listen({ host: address.host, port: address.port }, resolve);
    });
    server.on("error", (error) => this.#options.log.error("Listener failed", { error }));
    this.#servers.push(server);
    return { ...address, port: (server.address() as AddressInfo).port };
  }

  #secure(): tls.Server {
    const options = this.#tls;
    if (options === undefined) {
      throw new CofferError("invalid-argument", "an https listener needs a certificate and a key");
    }
    const server = tls.createServer(tlsServerOptions(options, this.#limits));
    server.on("secureConnection", (socket) => {
      const address = addressOf(socket);
      const verdict = this.#verify(socket, options);
      if (!verdict.ok) {
        socket.destroy();
        return this.#refused(verdict.reason, address, verdict.thumbprint);
      }
      const { certificate } = verdict;
      const protocol = socket.alpnProtocol === "h2" ? "h2" : "http/1.1";
      this.#connections.accept(socket, protocol, { address, certificate });
    });
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      const address = addressOf(socket);
      // node leaves the socket of a handshake that timed out to us.
      socket.destroy();
      this.#refused(`TLS handshake failed: ${error.code ?? error.message}`, address);
    });
    return server;
  }

  /** TLS went by the context that the handshake began under; meanwhile there may be another. */
  #verify(socket: tls.TLSSocket, options: TlsOptions): Verdict {
    const verdict = verifyPeer(socket, this.#tls ?? options);
    if (!verdict.ok || verdict.certificate === undefined) return verdict;
    const { certificate } = verdict;
    if (this.#contextOf.get(endsOf(socket)) === this.#context) return verdict;
    const problem = this.#problemOf(certificate);
    if (problem === undefined) return verdict;
    const reason = `${describeCertificate(certificate)} refused: ${problem}`;
    return { ok: false, reason, thumbprint: certificate.thumbprint };
  }

  #plaintext(host: string): net.Server {
    if (!isLoopback(host)) {
      throw new CofferError(
        "invalid-argument",
        `http listeners are allowed on loopback only, not on "${host}"; use https`,
      );
    }
    return net.createServer({ noDelay: true }, (socket) => {
      const address = addressOf(socket);
      routePlaintext(socket, this.#limits.firstRequestMs, (protocol) => {
        this.#connections.accept(socket, protocol, { address, certificate: undefined });
      });
    });
  }

  #refused(reason: string, address: string, thumbprint = ""): void {
    this.#options.onRefusedConnection?.({ kind: "refused", reason, address, thumbprint });
  }
}

function bindError(address: ListenAddress, cause: NodeJS.ErrnoException): CofferError {
  const where = `${address.host}:${String(address.port)}`;
  const hint =
    cause.code === "EADDRINUSE" ? "; stop the process that has it, or choose another port" : "";
  return new CofferError(
    "invalid-argument",
    `cannot listen on ${where}: ${cause.code ?? cause.message}${hint}`,
    { cause },
  );
}

function addressOf(socket: net.Socket): string {
  return `${socket.remoteAddress ?? "?"}:${String(socket.remotePort ?? "?")}`;
}

function endsOf(socket: net.Socket): string {
  return `${addressOf(socket)} ${socket.localAddress ?? "?"}:${String(socket.localPort ?? "?")}`;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
