import { createHash, createPublicKey, randomBytes, sign, type KeyObject } from "node:crypto";
import { CofferError } from "../errors.ts";
import { bits, contentOf, decode, encode, explicit, isContextTag, oid, partsOf } from "./der.ts";
import { sequence, time, unsigned, type Asn1 } from "./der.ts";
import { decodeExtensions, encodeExtensions, type Extension } from "./extension.ts";
import { OID } from "./oids.ts";

/** The parts of a certificate before it is signed (RFC 5280 §4.1). */
export interface CertificateBody {
  readonly serial: Uint8Array;
  readonly issuer: Asn1;
  readonly subject: Asn1;
  /** Milliseconds since the epoch, both inclusive. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Extension[];
}

export interface CertificateFields {
  readonly serial: Uint8Array;
  readonly issuer: Asn1;
  readonly subject: Asn1;
  readonly extensions: readonly Extension[];
}

const VERSION_3 = Uint8Array.of(2);
const SERIAL_BYTES = 16;

/** The DER of a certificate, signed with SHA-256. */
export function signCertificate(body: CertificateBody, issuerKey: KeyObject): Uint8Array {
  const tbs = sequence(
    explicit(0, unsigned(VERSION_3)),
    unsigned(body.serial),
    signatureAlgorithm(issuerKey),
    body.issuer,
    sequence(time(body.notBefore), time(body.notAfter)),
    body.subject,
    decode(publicKeyDer(body.publicKey), "public key"),
    explicit(3, encodeExtensions(body.extensions)),
  );
  return signedDer(tbs, issuerKey);
}

/** `tbs` with its algorithm and signature: the outer form of certificates and revocation lists. */
export function signedDer(tbs: Asn1, key: KeyObject): Uint8Array {
  const signature = sign("sha256", encode(tbs), key);
  return encode(sequence(tbs, signatureAlgorithm(key), bits(signature)));
}

/** ECDSA or RSA with SHA-256. Throws `invalid-argument` for other keys. */
export function signatureAlgorithm(key: KeyObject): Asn1 {
  if (key.asymmetricKeyType === "ec") return sequence(oid(OID.ecdsaWithSha256));
  if (key.asymmetricKeyType === "rsa") {
    return sequence(oid(OID.rsaWithSha256), decode(Uint8Array.of(5, 0), "NULL"));
  }
  const type = String(key.asymmetricKeyType);
  throw new CofferError("invalid-argument", `an authority's key is EC or RSA, not ${type}`);
}

/** 16 random bytes that make a positive integer of full length. */
export function newSerial(): Uint8Array {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40;
  return serial;
}

/** The parts of a certificate that node:crypto does not give. Throws `invalid-argument`. */
export function certificateFields(der: Uint8Array): CertificateFields {
  const tbs = partsOf(partsOf(decode(der, "the certificate"))[0]);
  const at = isContextTag(tbs[0], 0) ? 1 : 0;
  const [serial, , issuer, , subject] = tbs.slice(at);
  if (issuer === undefined || subject === undefined) {
    throw new CofferError("invalid-argument", "the certificate is cut short");
  }
  const extensions = tbs.slice(at).find((part) => isContextTag(part, 3));
  return {
    serial: contentOf(serial),
    issuer,
    subject,
    extensions: decodeExtensions(partsOf(extensions)[0]),
  };
}

/** The leftmost 160 bits of SHA-256 of the public key's bits (RFC 7093 §2, method 1). */
export function keyIdentifier(key: KeyObject): Uint8Array {
  const [, keyBits] = partsOf(decode(publicKeyDer(key), "public key"));
  return createHash("sha256").update(contentOf(keyBits).subarray(1)).digest().subarray(0, 20);
}

function publicKeyDer(key: KeyObject): Uint8Array {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "der" });
}
