import type { KeyObject } from "node:crypto";
import { CofferError } from "../errors.ts";
import { newKeyPair } from "../key-pair/mod.ts";
import type { Authority, Validity } from "./authority.ts";
import { keyIdentifier, newSerial, signCertificate } from "./certificate.ts";
import { leafExtensions, type Usage } from "./extension.ts";
import { dateText } from "./inspect.ts";
import { encodeName, type SubjectName } from "./name.ts";
import { pemOf } from "./pem.ts";
import { requestedKey } from "./request.ts";

/** What the certificate will say. All of it comes from here, none of it from a signing request. */
export interface Profile extends SubjectName, Validity {
  /** A server needs DNS names or addresses; a member is both server and client. */
  readonly usages: readonly Usage[];
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
}

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM (PKCS #8); save it with `savePem`. */
  readonly privateKey: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

const DAY_MS = 86_400_000;
const CLOCK_DIFFERENCE_MS = 5 * 60_000;
const LEAF_MS = 365 * DAY_MS;

/**
 * A certificate with a fresh P-256 key. Valid for a year unless told, and never longer than the
 * authority: a default is shortened, a wish is refused. Throws `invalid-argument`.
 */
export function issueCertificate(authority: Authority, profile: Profile): IssuedCertificate {
  const { privateKey, publicKey } = newKeyPair("p-256");
  const { certificate, notAfter } = certify(authority, profile, publicKey);
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { certificate, privateKey: pem, notAfter };
}

/**
 * A certificate for the key of a signing request (PKCS #10, PEM). The request must be signed with
 * that key, and must not ask for an authority or for names that the profile lacks. Throws
 * `invalid-argument`.
 */
export function issueForRequest(
  authority: Authority,
  profile: Profile,
  request: string,
): Omit<IssuedCertificate, "privateKey"> {
  return certify(authority, profile, requestedKey(request, profile));
}

function certify(
  authority: Authority,
  profile: Profile,
  publicKey: KeyObject,
): Omit<IssuedCertificate, "privateKey"> {
  const { dns = [], ips = [], usages } = profile;
  if (usages.length === 0) {
    throw new CofferError("invalid-argument", "a certificate needs a usage, server or client");
  }
  if (usages.includes("server") && dns.length + ips.length === 0) {
    const detail = "a server's certificate needs a DNS name or an IP address";
    throw new CofferError("invalid-argument", detail);
  }
  const validity = leafValidity(authority, profile);
  const der = signCertificate(
    {
      serial: newSerial(),
      issuer: authority.subjectName,
      subject: encodeName(profile),
      ...validity,
      publicKey,
      extensions: leafExtensions({
        keyId: keyIdentifier(publicKey),
        authorityKeyId: authority.keyId,
        usages,
        altNames: { dns, ips },
      }),
    },
    authority.privateKey,
  );
  return { certificate: pemOf("CERTIFICATE", der), notAfter: validity.notAfter };
}

function leafValidity(authority: Authority, wish: Validity): Required<Validity> {
  const now = Date.now();
  const notBefore = wish.notBefore ?? Math.max(now - CLOCK_DIFFERENCE_MS, authority.notBefore);
  const notAfter = wish.notAfter ?? Math.min(now + LEAF_MS, authority.notAfter);
  const whole = (ms: number): number => Math.floor(ms / 1000) * 1000;
  const dates = { notBefore: whole(notBefore), notAfter: whole(notAfter) };
  const signer = `authority ${authority.subject}`;
  if (dates.notBefore < authority.notBefore) {
    const detail = `${signer} is valid from ${dateText(authority.notBefore)} only`;
    throw new CofferError("invalid-argument", detail);
  }
  if (dates.notAfter > authority.notAfter) {
    const detail = `${signer} expires at ${dateText(authority.notAfter)}; ask for no longer`;
    throw new CofferError("invalid-argument", detail);
  }
  if (dates.notAfter <= dates.notBefore) {
    const detail = `it would expire at ${dateText(dates.notAfter)}, before it is valid`;
    throw new CofferError("invalid-argument", detail);
  }
  return dates;
}
