import { X509Certificate } from "node:crypto";
import { inputFile } from "./input-file.ts";
import type { Io } from "./io.ts";
import { mistake } from "./keys.ts";

export interface CertificateFile {
  /** SHA-256 of the DER bytes, base64url without padding (RFC 8705 x5t#S256). */
  readonly thumbprint: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** The first certificate of a file, PEM or DER. */
export function readCertificate(io: Io, path: string): CertificateFile {
  const bytes = inputFile(io, path);
  try {
    const certificate = new X509Certificate(bytes);
    const thumbprint = certificate.fingerprint256;
    return { thumbprint: ofHex(thumbprint), notAfter: Date.parse(certificate.validTo) };
  } catch {
    throw mistake(`${path}: holds no certificate in PEM or DER`);
  }
}

const BASE64URL = /^[A-Za-z0-9_-]{43}$/;
/** As `openssl x509 -fingerprint -sha256` prints it. */
const HEX = /^(?:[0-9A-Fa-f]{2}:?){32}$/;

/** The thumbprint that `text` is, in any of its spellings; undefined: it is none. */
export function thumbprintOf(text: string): string | undefined {
  if (BASE64URL.test(text)) return text;
  return HEX.test(text) ? ofHex(text) : undefined;
}

function ofHex(text: string): string {
  return Buffer.from(text.replaceAll(":", ""), "hex").toString("base64url");
}
