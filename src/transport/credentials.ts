import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { inspectCertificate, type CertificateInfo } from "../pki/mod.ts";
import { memberDnsName } from "./nats-config.ts";
import type { TlsFiles } from "./ports.ts";

/** What a member shows to NATS, PEM. */
export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly info: CertificateInfo;
}

/** Read and checked, or the one line that says what is wrong and what to do. */
export type CredentialsResult =
  | { readonly kind: "ok"; readonly credentials: Credentials }
  | { readonly kind: "wrong"; readonly problem: string };

/**
 * Reads the files and asks all that can be asked of them before a server is: a server that refuses
 * a certificate says hardly more than that it does.
 */
export function readCredentials(files: TlsFiles, name: string, now: number): CredentialsResult {
  const texts: Partial<Record<keyof TlsFiles, string>> = {};
  for (const which of ["ca", "cert", "key"] as const) {
    try {
      texts[which] = readFileSync(files[which], "utf8");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
      return wrong(`${TITLES[which]} '${files[which]}' cannot be read: ${code}`);
    }
  }
  const { ca = "", cert = "", key = "" } = texts;
  const problem = problemOf({ ca, cert, key }, { files, name, now });
  if (problem !== undefined) return wrong(problem);
  return { kind: "ok", credentials: { ca, cert, key, info: inspectCertificate(cert) } };
}

const TITLES = {
  ca: "the authority's certificate",
  cert: "this member's certificate",
  key: "this member's key",
} as const;

interface Context {
  readonly files: TlsFiles;
  readonly name: string;
  readonly now: number;
}

function problemOf(pem: TlsFiles, context: Context): string | undefined {
  const { files, name, now } = context;
  const title = `${TITLES.cert} '${files.cert}'`;
  const info = inspected(pem.cert);
  if (info === undefined) return `${title} is no certificate in PEM`;
  if (inspected(pem.ca) === undefined) return `${TITLES.ca} '${files.ca}' is no certificate in PEM`;
  if (now > info.notAfter) return `${title} expired at ${dateText(info.notAfter)}; issue another`;
  if (now < info.notBefore) {
    return `${title} is not valid before ${dateText(info.notBefore)}; set this machine's clock or issue another`;
  }
  const dnsName = memberDnsName(name);
  if (!info.dns.includes(dnsName)) {
    const names = info.dns.length === 0 ? "no DNS name" : `'${info.dns.join("', '")}'`;
    return `${title} holds ${names} and not '${dnsName}', by which NATS knows member '${name}'; issue one with that name`;
  }
  if (!info.usages.includes("client")) return `${title} is not for clients; issue one that is`;
  try {
    createSecureContext(pem);
  } catch {
    return `${TITLES.key} '${files.key}' does not belong to ${title}; put the pair in place together`;
  }
  return undefined;
}

function inspected(pem: string): CertificateInfo | undefined {
  try {
    return inspectCertificate(pem);
  } catch {
    return undefined;
  }
}

function wrong(problem: string): CredentialsResult {
  return { kind: "wrong", problem };
}

/** To the second, as certificates have it. */
export function dateText(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
