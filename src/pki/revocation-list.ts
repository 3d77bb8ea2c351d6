import { CofferError } from "../errors.ts";
import type { Authority } from "./authority.ts";
import { signatureAlgorithm, signedDer } from "./certificate.ts";
import { explicit, sequence, time, unsigned, type Asn1 } from "./der.ts";
import { authorityKeyExtension, encodeExtensions, type Extension } from "./extension.ts";
import { OID } from "./oids.ts";
import { pemOf } from "./pem.ts";

export interface RevokedCertificate {
  /** Hex, as `inspectCertificate` shows it. */
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly revokedAt: number;
}

export interface RevocationListOptions {
  readonly revoked: readonly RevokedCertificate[];
  /** Grows with each list. */
  readonly number: number;
  /** Milliseconds since the epoch; past it TLS refuses every certificate of this authority. */
  readonly nextUpdate: number;
  /** Default: now. */
  readonly thisUpdate?: number;
}

const VERSION_2 = Uint8Array.of(1);

/** A revocation list (RFC 5280 §5) in PEM, for the `crl` option of node:tls. */
export function createRevocationList(authority: Authority, options: RevocationListOptions): string {
  const { revoked, number, nextUpdate, thisUpdate = Date.now() } = options;
  const entries = revoked.map((one) =>
    sequence(unsigned(serialBytes(one.serial)), time(one.revokedAt)),
  );
  const digits = number.toString(16);
  const numberBytes = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  const extensions: Extension[] = [
    { id: OID.crlNumber, critical: false, value: unsigned(numberBytes) },
  ];
  if (authority.keyId !== undefined) extensions.push(authorityKeyExtension(authority.keyId));
  const parts: Asn1[] = [
    unsigned(VERSION_2),
    signatureAlgorithm(authority.privateKey),
    authority.subjectName,
    time(thisUpdate),
    time(nextUpdate),
  ];
  // An empty list is written by leaving it out (RFC 5280 §5.1.2.6).
  if (entries.length > 0) parts.push(sequence(...entries));
  parts.push(explicit(0, encodeExtensions(extensions)));
  return pemOf("X509 CRL", signedDer(sequence(...parts), authority.privateKey));
}

function serialBytes(serial: string): Uint8Array {
  if (!/^([0-9a-f]{2}){1,20}$/i.test(serial)) {
    const detail = `serial ${JSON.stringify(serial)} is not 1 to 20 bytes in hex`;
    throw new CofferError("invalid-argument", detail);
  }
  return Buffer.from(serial, "hex");
}
