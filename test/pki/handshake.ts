import { once } from "node:events";
import type { AddressInfo } from "node:net";
import * as tls from "node:tls";
import type { Authority } from "../../src/pki/mod.ts";

export interface Identity {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface HandshakeOptions {
  readonly server: Identity;
  readonly client?: Identity;
  /** PEM of the authorities that the server trusts for clients. */
  readonly clientCa: string;
  readonly serverCa: string;
  readonly crl?: string;
  readonly host?: string;
}

/** What each side of a mutual TLS handshake thinks: "accepted" or the error code. */
export interface Handshake {
  readonly server: string;
  readonly client: string;
  /** The client's certificate (DER) as the server saw it. */
  readonly peer: Uint8Array | undefined;
}

/**
 * One handshake over loopback, client certificates required, as Coffer's listener asks for them.
 */
export async function handshake(options: HandshakeOptions): Promise<Handshake> {
  const server = tls.createServer({
    cert: options.server.certificate,
    key: options.server.privateKey,
    ca: options.clientCa,
    requestCert: true,
    rejectUnauthorized: true,
    ...(options.crl === undefined ? {} : { crl: options.crl }),
  });
  let peer: Uint8Array | undefined;
  const atServer = new Promise<string>((resolve) => {
    server.once("secureConnection", (socket) => {
      socket.on("error", () => undefined);
      peer = socket.getPeerX509Certificate()?.raw;
      socket.end();
      resolve("accepted");
    });
    // Node tells why it refused a chain on the socket only; the error is a plain ECONNRESET.
    server.once("tlsClientError", (error, refused) => {
      resolve(String(refused.authorizationError ?? codeOf(error)));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = tls.connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    servername: options.host ?? "localhost",
    ca: options.serverCa,
    ...(options.client && { cert: options.client.certificate, key: options.client.privateKey }),
  });
  const atClient = new Promise<string>((resolve) => {
    socket.once("secureConnect", () => resolve("accepted"));
    socket.on("error", (error) => resolve(codeOf(error)));
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  const [serverSays, clientSays] = await Promise.all([atServer, atClient]);
  socket.end();
  await closed;
  server.close();
  return { server: serverSays, client: clientSays, peer };
}

export function caOf(...authorities: readonly Authority[]): string {
  return authorities.map((authority) => authority.certificate).join("");
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
