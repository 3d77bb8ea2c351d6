import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { CofferError } from "../errors.ts";
import { newKeyPair } from "../key-pair/mod.ts";
import { certificateFields, keyIdentifier, newSerial, signCertificate } from "./certificate.ts";
import { contentOf, type Asn1 } from "./der.ts";
import { authorityExtensions, findExtension } from "./extension.ts";
import { checkValidity, inspectCertificate, parseCertificate } from "./inspect.ts";
import { encodeName, type SubjectName } from "./name.ts";
import { OID } from "./oids.ts";
import { pemOf, readKeyPem, readPem } from "./pem.ts";

/** A certificate authority: what signs server, client and member certificates. */
export interface Authority {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: KeyObject;
  /** For people: "CN=coffer dev". */
  readonly subject: string;
  readonly subjectName: Asn1;
  readonly keyId: Uint8Array | undefined;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** When something is valid, in milliseconds since the epoch. */
export interface Validity {
  /** Default: five minutes ago, for clocks that differ. */
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** A certificate, or a chain that begins with it, and its private key. */
export interface PairFiles {
  readonly certificatePath: string;
  readonly keyPath: string;
}

const DAY_MS = 86_400_000;
const CLOCK_DIFFERENCE_MS = 5 * 60_000;
const AUTHORITY_MS = 3650 * DAY_MS;

/**
 * A new self-signed authority with a fresh P-256 key; valid for ten years unless told. Given the key
 * and the name of an earlier one it renews that: what the earlier one has signed is good under it.
 */
export function createAuthority(
  name: SubjectName & Validity & { readonly privateKey?: KeyObject },
): Authority {
  const privateKey = name.privateKey ?? newKeyPair("p-256").privateKey;
  const publicKey = createPublicKey(privateKey);
  const now = Date.now();
  const notBefore = name.notBefore ?? now - CLOCK_DIFFERENCE_MS;
  const notAfter = name.notAfter ?? now + AUTHORITY_MS;
  if (notAfter <= notBefore) {
    throw new CofferError("invalid-argument", "the authority would expire before it is valid");
  }
  const subject = encodeName(name);
  const extensions = authorityExtensions(keyIdentifier(publicKey));
  const dates = { notBefore, notAfter };
  const body = { serial: newSerial(), issuer: subject, subject, ...dates, publicKey, extensions };
  return authorityOf(pemOf("CERTIFICATE", signCertificate(body, privateKey)), privateKey);
}

/**
 * The authority in two PEM files. Throws `invalid-argument`, naming file, subject or expiry, if one
 * cannot be read, the key file is wider than 0600, they do not belong together, or the certificate
 * is no authority's or not valid now.
 */
export function loadAuthority({ certificatePath, keyPath }: PairFiles): Authority {
  const certificate = readPem(certificatePath);
  const x509 = parseCertificate(certificate);
  const info = inspectCertificate(x509.raw);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(readKeyPem(keyPath));
  } catch (cause) {
    if (cause instanceof CofferError) throw cause;
    throw new CofferError("invalid-argument", `file '${keyPath}' holds no private key`, { cause });
  }
  if (!info.isAuthority) {
    const problem = `'${certificatePath}' (${info.subject}) is not an authority's certificate`;
    throw new CofferError("invalid-argument", problem);
  }
  if (!x509.checkPrivateKey(privateKey)) {
    const problem = `the key in '${keyPath}' is not that of '${certificatePath}' (${info.subject})`;
    throw new CofferError("invalid-argument", problem);
  }
  checkValidity(info, Date.now());
  return authorityOf(certificate, privateKey);
}

function authorityOf(certificate: string, privateKey: KeyObject): Authority {
  const info = inspectCertificate(certificate);
  const fields = certificateFields(parseCertificate(certificate).raw);
  const keyId = findExtension(fields.extensions, OID.subjectKeyIdentifier);
  return {
    certificate,
    privateKey,
    subject: info.subject,
    subjectName: fields.subject,
    keyId: keyId === undefined ? undefined : contentOf(keyId),
    notBefore: info.notBefore,
    notAfter: info.notAfter,
  };
}
