import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ListenAddress, ServerOptions } from "../api/mod.ts";
import type { Address, ServerConfig } from "../config/mod.ts";
import { CofferError } from "../errors.ts";
import { type Trust, createTrust, revocationListTexts } from "../pki/mod.ts";

/** What the client port is told of its addresses and certificates. */

export interface ClientTls {
  readonly tls: NonNullable<ServerOptions["tls"]>;
  /** By whom client certificates are judged; undefined: none is asked for. */
  readonly trust: Trust | undefined;
}

/**
 * Reads the files and asks all that can be asked of them before TLS does. Undefined without a
 * certificate of the server. Throws `invalid-argument` naming option, file and cause.
 */
export function readTls(config: ServerConfig): ClientTls | undefined {
  if (config.tlsCert === undefined || config.tlsKey === undefined) return undefined;
  const cert = readPem(config.tlsCert, "--tls-cert");
  const key = readPem(config.tlsKey, "--tls-key");
  checkPair(config.tlsCert, cert, config.tlsKey, key);
  const clientCa = readGiven(config.clientCa, "--client-ca");
  const lists = readGiven(config.clientCrl, "--client-crl");
  return {
    tls: {
      cert,
      key,
      clientCa,
      clientCertAuth: config.clientCertAuth,
      crl: lists === undefined ? undefined : revocationListTexts(lists),
    },
    trust: clientCa === undefined ? undefined : trustOf(config, clientCa, lists),
  };
}

function trustOf(config: ServerConfig, authorities: string, lists: string | undefined): Trust {
  // First without lists, so that the file at fault is named.
  const trust = parsed(`--client-ca ${config.clientCa ?? ""} holds no certificate`, () =>
    createTrust({ authorities, lists: undefined }),
  );
  if (lists === undefined) return trust;
  return parsed(`--client-crl ${config.clientCrl ?? ""} holds no revocation list`, () =>
    createTrust({ authorities, lists }),
  );
}

function readGiven(path: string | undefined, option: string): string | undefined {
  return path === undefined ? undefined : readPem(path, option);
}

function readPem(path: string, option: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "error";
    throw new CofferError("invalid-argument", `${option} ${path} cannot be read (${code})`, {
      cause,
    });
  }
  // Read while it is written, a file of several may already hold the first.
  const begun = text.split("-----BEGIN ").length;
  if (begun === text.split("-----END ").length) return text;
  throw new CofferError("invalid-argument", `${option} ${path} is cut short`);
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
