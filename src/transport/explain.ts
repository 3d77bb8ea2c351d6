import { createConnection, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Credentials } from "./credentials.ts";
import { hostOf } from "./nats-link.ts";

/**
 * Why a NATS server ended a connection during its handshake. The server's TLS alert, which says so,
 * is lost when the client is still writing; so this connects once more, up to the alert, and writes
 * nothing.
 */

const PROBE_TIMEOUT_MS = 2000;
const NATS_PORT = 4222;

/** The error of a handshake that says no more than the TLS one, or `undefined` if there is none. */
export function probeTls(server: string, credentials: Credentials): Promise<unknown> {
  const { port } = new URL(server);
  const host = hostOf(server);
  return new Promise((resolve) => {
    const sockets: Socket[] = [];
    const end = (error: unknown): void => {
      clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      resolve(error);
    };
    const timer = setTimeout(() => end(undefined), PROBE_TIMEOUT_MS);
    const plain = createConnection(Number(port || NATS_PORT), host);
    sockets.push(plain);
    plain.once("error", end);
    plain.once("close", () => end(undefined));
    // The server speaks first, in plain text, and then waits for the handshake.
    plain.once("data", () => {
      plain.removeAllListeners("error");
      plain.on("error", () => undefined);
      const { ca, cert, key } = credentials;
      const servername = isIP(host) === 0 ? host : "";
      const secure = connectTls({ socket: plain, ca, cert, key, servername, host });
      sockets.push(secure);
      secure.on("error", end);
      secure.once("data", () => end(undefined));
    });
  });
}
