import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Credentials } from "./credentials.ts";

/**
 * Why a NATS server ended a connection during its handshake. The server's TLS alert, which says so,
 * is lost when the client is still writing; so this connects once more, up to the alert, and writes
 * nothing.
 */

const PROBE_TIMEOUT_MS = 2000;
const NATS_PORT = 4222;

/** The error of a handshake that says no more than the TLS one, or `undefined` if there is none. */
export function probeTls(server: string, credentials: Credentials): Promise<unknown> {
  const { hostname, port } = new URL(server);
  return new Promise((resolve) => {
    const sockets: Socket[] = [];
    const end = (error: unknown): void => {
      clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      resolve(error);
    };
    const timer = setTimeout(() => end(undefined), PROBE_TIMEOUT_MS);
    const plain = createConnection(Number(port || NATS_PORT), bare(hostname));
    sockets.push(plain);
    plain.once("error", end);
    plain.once("close", () => end(undefined));
    // The server speaks first, in plain text, and then waits for the handshake.
    plain.once("data", () => {
      plain.removeAllListeners("error");
      plain.on("error", () => undefined);
      const { ca, cert, key } = credentials;
      const servername = isAddress(hostname) ? "" : hostname;
      const host = bare(hostname);
      const secure = connectTls({ socket: plain, ca, cert, key, servername, host });
      sockets.push(secure);
      secure.on("error", end);
      secure.once("data", () => end(undefined));
    });
  });
}

/** Without the brackets that an IPv6 address has in a URL. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

function isAddress(hostname: string): boolean {
  return hostname.startsWith("[") || /^[0-9.]+$/.test(hostname);
}
