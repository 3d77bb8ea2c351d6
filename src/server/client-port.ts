import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ListenAddress, ServerOptions } from "../api/mod.ts";
import type { Address, ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";

/** What the client port is told of its addresses and certificates. */

export function readTls(config: ServerConfig): ServerOptions["tls"] {
  if (config.tlsCert === undefined || config.tlsKey === undefined) return undefined;
  const cert = readPem(config.tlsCert, "--tls-cert");
  const key = readPem(config.tlsKey, "--tls-key");
  checkPair(config.tlsCert, cert, config.tlsKey, key);
  return {
    cert,
    key,
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

/** TLS itself would fail too, with a number of OpenSSL's that names neither file. */
function checkPair(certPath: string, cert: string, keyPath: string, key: string): void {
  const leaf = parsed(
    `--tls-cert ${certPath} holds no certificate`,
    () => new X509Certificate(cert),
  );
  const own = parsed(`--tls-key ${keyPath} holds no private key`, () => createPrivateKey(key));
  if (leaf.checkPrivateKey(own)) return;
  throw new CofferError(
    "invalid-argument",
    `--tls-key ${keyPath} is not the key of the certificate in --tls-cert ${certPath}`,
  );
}

function parsed<T>(otherwise: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new CofferError("invalid-argument", otherwise, { cause });
  }
}

export function listenAddress({ secure, host, port }: Address): ListenAddress {
  return { scheme: secure ? "https" : "http", host, port };
}
