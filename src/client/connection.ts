import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";

import { CofferError } from "../errors.ts";
import { unreachable } from "./failure.ts";

export interface ConnectionOptions {
  /** `https://host:port`; `http://` for a server on loopback. Tried in this order. */
  readonly endpoints: readonly string[];
  /** PEM: who signed the server's certificate. Without it the system's CAs are trusted. */
  readonly ca?: string | undefined;
  /** PEM: the client's certificate and key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** For one attempt to connect, TLS included. */
  readonly dialTimeoutMs?: number | undefined;
}

const DIAL_TIMEOUT_MS = 5000;
const WINDOW_BYTES = 4 * 1024 * 1024;

export interface Connection {
  readonly endpoint: string;
  readonly session: http2.ClientHttp2Session;
}

/** Keeps one HTTP/2 connection, made when it is first needed and again after it broke. */
export interface Connector {
  connection(): Promise<Connection>;
  /** A connection other than `broken`. */
  reconnect(broken: Connection): Promise<Connection>;
  /** Lets open calls end, then closes. */
  close(): Promise<void>;
}

export function createConnector(options: ConnectionOptions): Connector {
  const endpoints = options.endpoints.map(parseEndpoint);
  if (endpoints.length === 0) throw new CofferError("invalid-argument", "no endpoint was given");
  let current: Promise<Connection> | undefined;
  let closed = false;
  const connect = async (): Promise<Connection> => {
    let failure: unknown;
    for (const endpoint of endpoints) {
      try {
        return await dial(endpoint, options);
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  };
  const connection = (): Promise<Connection> => {
    if (closed) return Promise.reject(new CofferError("unreachable", "the client is closed"));
    if (current !== undefined) return current;
    const made = connect();
    const forget = (): void => {
      if (current === made) current = undefined;
    };
    made.then(({ session }) => {
      session.once("close", forget);
      session.once("goaway", forget);
    }, forget);
    current = made;
    return made;
  };
  return {
    connection,
    reconnect: async (broken) => {
      if ((await current?.catch(() => undefined)) === broken) current = undefined;
      // What is under way over it may end; nothing more goes there.
      broken.session.close();
      return connection();
    },
    close: async () => {
      closed = true;
      const { session } = (await current?.catch(() => undefined)) ?? {};
      if (session === undefined || session.destroyed) return;
      await new Promise<void>((resolve) => session.close(resolve));
    },
  };
}

function parseEndpoint(text: string): URL {
  const spelled = text.includes("://") ? text : `https://${text}`;
  const url = URL.canParse(spelled) ? new URL(spelled) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new CofferError("invalid-argument", `endpoint "${text}" is not https://host:port`);
  }
  return url;
}

/**
 * The socket is connected before HTTP/2 sees it: its own errors then come out as they are, and not
 * as a broken session.
 */
async function dial(url: URL, options: ConnectionOptions): Promise<Connection> {
  const endpoint = url.origin;
  const socket = await openSocket(url, options).catch((cause: unknown) => {
    throw unreachable(endpoint, cause);
  });
  const session = http2.connect(url, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
  });
  session.on("error", () => undefined);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(unreachable(endpoint, "the port does not speak HTTP/2; check the endpoint")),
      options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
    );
    const settle = (end: () => void) => (): void => {
      clearTimeout(timer);
      end();
    };
    session.once("remoteSettings", settle(resolve));
    session.once("error", (cause) => settle(() => reject(unreachable(endpoint, cause)))());
    session.once(
      "close",
      settle(() => reject(unreachable(endpoint, closedEarly()))),
    );
  }).catch((error: unknown) => {
    session.destroy();
    throw error;
  });
  session.setLocalWindowSize(WINDOW_BYTES);
  return { endpoint, session };
}

function openSocket(url: URL, options: ConnectionOptions): Promise<net.Socket> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = url.protocol === "https:";
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  if (secure) checkCredentials(options);
  const socket = secure
    ? tls.connect({
        host,
        port,
        ...(net.isIP(host) === 0 ? { servername: host } : {}),
        ALPNProtocols: ["h2"],
        minVersion: "TLSv1.2",
        ...(options.ca === undefined ? {} : { ca: options.ca }),
        ...(options.cert === undefined ? {} : { cert: options.cert }),
        ...(options.key === undefined ? {} : { key: options.key }),
      })
    : net.connect({ host, port, noDelay: true });
  return new Promise((resolve, reject) => {
    const limit = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
    const timer = setTimeout(() => fail(timedOut()), limit);
    const fail = (cause: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(cause);
    };
    socket.once("error", fail);
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** Throws `invalid-argument` for PEM that TLS does not take. */
function checkCredentials({ ca, cert, key }: ConnectionOptions): void {
  try {
    tls.createSecureContext({ ca, cert, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : "unknown";
    const detail = `the certificates or the key given cannot be used (${reason}); COFFER_CERT and COFFER_KEY must belong together`;
    throw new CofferError("invalid-argument", detail, { cause });
  }
}

function timedOut(): Error {
  return Object.assign(new Error("connection timed out"), { code: "ETIMEDOUT" });
}

function closedEarly(): Error {
  return Object.assign(new Error("connection closed"), { code: "ECONNRESET" });
}
