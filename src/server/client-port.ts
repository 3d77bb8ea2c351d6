import { readFileSync } from "node:fs";
import type { ListenAddress, ServerOptions } from "../api/mod.ts";
import type { Address, ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";

/** What the client port is told of its addresses and certificates. */

export function readTls(config: ServerConfig): ServerOptions["tls"] {
  if (config.tlsCert === undefined || config.tlsKey === undefined) return undefined;
  return {
    cert: readPem(config.tlsCert, "--tls-cert"),
    key: readPem(config.tlsKey, "--tls-key"),
    clientCa: config.clientCa === undefined ? undefined : readPem(config.clientCa, "--client-ca"),
    clientCertAuth: config.clientCertAuth,
    crl: config.clientCrl === undefined ? undefined : readPem(config.clientCrl, "--client-crl"),
  };
}

function readPem(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "error";
    throw new CofferError("invalid-argument", `${option} ${path} cannot be read (${code})`, {
      cause,
    });
  }
}

export function listenAddress({ secure, host, port }: Address): ListenAddress {
  return { scheme: secure ? "https" : "http", host, port };
}
