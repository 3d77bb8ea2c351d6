import { createHash, X509Certificate } from "node:crypto";
import { CofferError } from "../errors.ts";
import { decodeAltNames, type AltNames } from "./alt-name.ts";
import { certificateFields } from "./certificate.ts";
import { findExtension, usagesOf } from "./extension.ts";
import { attributesOf } from "./name.ts";
import { OID } from "./oids.ts";

export interface CertificateInfo extends AltNames {
  /** For people: "O=Acme, CN=alice". */
  readonly subject: string;
  readonly issuer: string;
  /** `undefined` if there is none or more than one: then it names nobody. */
  readonly commonName: string | undefined;
  readonly organizations: readonly string[];
  /** Upper-case hex. */
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly isAuthority: boolean;
  /** Extended key usages: "server", "client", or an OID. */
  readonly usages: readonly string[];
  /** base64url of SHA-256 of the DER, as in `cnf.x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string;
}

/** What a certificate (PEM or DER) says; nothing is verified. Throws `invalid-argument`. */
export function inspectCertificate(certificate: string | Uint8Array): CertificateInfo {
  const x509 = parseCertificate(certificate);
  const fields = certificateFields(x509.raw);
  const altNames = findExtension(fields.extensions, OID.subjectAltName);
  const names = attributesOf(fields.subject, OID.commonName);
  return {
    ...(altNames === undefined ? { dns: [], ips: [], uris: [] } : decodeAltNames(altNames)),
    subject: oneLine(x509.subject),
    issuer: oneLine(x509.issuer),
    commonName: names.length === 1 ? names[0] : undefined,
    organizations: attributesOf(fields.subject, OID.organization),
    serial: x509.serialNumber,
    notBefore: Date.parse(x509.validFrom),
    notAfter: Date.parse(x509.validTo),
    isAuthority: x509.ca,
    usages: usagesOf(fields.extensions),
    thumbprint: createHash("sha256").update(x509.raw).digest("base64url"),
  };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The PEM texts of all certificates in a file, each by itself. */
export function certificateTexts(pem: string): readonly string[] {
  return pem.match(PEM_CERTIFICATE) ?? [];
}

/** All certificates of a PEM text, in order. Throws `invalid-argument` if there is none. */
export function inspectCertificates(pem: string): readonly CertificateInfo[] {
  const blocks = certificateTexts(pem);
  if (blocks.length > 0) return blocks.map(inspectCertificate);
  const other = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem)?.[1];
  const found = other === undefined ? "no PEM" : `a ${other.toLowerCase()}`;
  throw new CofferError("invalid-argument", `the file holds ${found}, and no certificate`);
}

/**
 * Throws `invalid-argument`, naming the subject, the dates and what to do, unless the certificate
 * is valid at `now` (milliseconds since the epoch).
 */
export function checkValidity(info: CertificateInfo, now: number): void {
  if (now < info.notBefore) {
    const from = dateText(info.notBefore);
    throw refusal(info, `is not valid before ${from}; set this machine's clock or issue another`);
  }
  if (now > info.notAfter) {
    throw refusal(info, `expired at ${dateText(info.notAfter)}; issue another`);
  }
}

/**
 * The certificate of a TLS client whose chain TLS has verified. Asks what TLS does not: that
 * clientAuth is named (OpenSSL lets a certificate without any extended key usage pass) and that it
 * is no authority. Throws `invalid-token` naming subject and expiry.
 */
export function checkClientCertificate(raw: Uint8Array, now: number = Date.now()): CertificateInfo {
  const info = inspectCertificate(raw);
  const problem = info.isAuthority
    ? "is an authority's, not a client's"
    : !info.usages.includes("client")
      ? "is not for clients: its extended key usage does not name clientAuth"
      : now < info.notBefore || now > info.notAfter
        ? "is not valid now"
        : undefined;
  if (problem === undefined) return info;
  const until = `${dateText(info.notBefore)} to ${dateText(info.notAfter)}`;
  throw new CofferError("invalid-token", `certificate of ${info.subject} (${until}) ${problem}`);
}

export function parseCertificate(certificate: string | Uint8Array): X509Certificate {
  try {
    return new X509Certificate(certificate);
  } catch (cause) {
    throw new CofferError("invalid-argument", "this is no certificate in PEM or DER", { cause });
  }
}

/** To the second, as certificates have it. */
export function dateText(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function refusal(info: CertificateInfo, problem: string): CofferError {
  return new CofferError("invalid-argument", `certificate of ${info.subject} ${problem}`);
}

/** A name as node:crypto writes it, in one line. */
export function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").join(", ");
}
