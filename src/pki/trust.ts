import { createHash, X509Certificate } from "node:crypto";
import { CofferError } from "../errors.ts";
import { DER_TAG, derParts, readDer } from "../stdx/mod.ts";
import { certificateTexts, oneLine, parseCertificate } from "./inspect.ts";
import { type RevocationList, readRevocationLists } from "./read-revocation-list.ts";

/** The authorities and revocation lists that clients are judged by. */
export interface Trust {
  /**
   * Why a client certificate that TLS accepted before is no longer certain to be good; undefined: it
   * is.
   *
   * This is no second verifier of chains beside TLS's: it looks for the proof that TLS would still
   * accept, and takes its lack for a no. A chain goes from the certificate over authorities of the
   * file to one that signed itself; those that a client sent along are not known here. Who is refused
   * for no better reason connects again, and TLS decides.
   */
  problemOf(raw: Uint8Array, now: number): string | undefined;
  /** The authority of the file (DER) with that x5t#S256. */
  authority(thumbprint: string): Uint8Array | undefined;
  /** Authorities whose list is missing, so that TLS refuses all their certificates: "CN=x". */
  readonly withoutList: readonly string[];
}

const DEPTH_MAX = 8;

interface TrustFiles {
  /** PEM. */
  readonly authorities: string;
  readonly lists: string | undefined;
}

/** Throws `invalid-argument` if a file does not hold what it should. */
export function createTrust(files: TrustFiles): Trust {
  const authorities = certificateTexts(files.authorities).map(parseCertificate);
  if (authorities.length === 0) {
    throw new CofferError("invalid-argument", "the file holds no certificate");
  }
  const lists = files.lists === undefined ? undefined : readRevocationLists(files.lists);
  const trust = { authorities, lists };
  return {
    problemOf: (raw, now) => problemOf(new X509Certificate(raw), { ...trust, now }),
    authority: (thumbprint) => authorities.find(({ raw }) => thumbprintOf(raw) === thumbprint)?.raw,
    withoutList:
      lists === undefined
        ? []
        : authorities
            .filter((authority) => listsOf(lists, namesOf(authority.raw).subject).length === 0)
            .map(({ subject }) => oneLine(subject)),
  };
}

function thumbprintOf(raw: Uint8Array): string {
  return createHash("sha256").update(raw).digest("base64url");
}

interface Question {
  readonly authorities: readonly X509Certificate[];
  readonly lists: readonly RevocationList[] | undefined;
  readonly now: number;
}

function problemOf(certificate: X509Certificate, asked: Question, depth = 0): string | undefined {
  const revoked = revocationOf(certificate, asked.lists);
  if (revoked !== undefined) return revoked;
  if (depth > 0 && isIssuedBy(certificate, certificate)) return undefined;
  if (depth === DEPTH_MAX) return "its chain is too long";
  let problem = `its authority ${oneLine(certificate.issuer)} is not among those of clients`;
  for (const authority of asked.authorities) {
    if (!isIssuedBy(certificate, authority)) continue;
    const found = isValid(authority, asked.now)
      ? problemOf(authority, asked, depth + 1)
      : `its authority ${oneLine(authority.subject)} has expired`;
    if (found === undefined) return undefined;
    problem = found;
  }
  return problem;
}

function revocationOf(
  certificate: X509Certificate,
  lists: readonly RevocationList[] | undefined,
): string | undefined {
  if (lists === undefined) return undefined;
  const own = listsOf(lists, namesOf(certificate.raw).issuer);
  if (own.length === 0) return `there is no revocation list of ${oneLine(certificate.issuer)}`;
  const isRevoked = own.some((list) => list.has(certificate.serialNumber));
  return isRevoked ? `${oneLine(certificate.subject)} is revoked` : undefined;
}

/** By the bytes of the name: TLS may find more, so this errs towards refusing. */
function listsOf(lists: readonly RevocationList[], name: Uint8Array): readonly RevocationList[] {
  return lists.filter((list) => Buffer.from(list.issuer).equals(name));
}

function isIssuedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function isValid({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
}

/** Content of the names of a certificate, which follow serial number, algorithm and version. */
function namesOf(raw: Uint8Array): { readonly issuer: Uint8Array; readonly subject: Uint8Array } {
  const [body] = derParts(readDer(raw, 0), DER_TAG.sequence) ?? [];
  const fields = derParts(body, DER_TAG.sequence) ?? [];
  const [, , issuer, , subject] = fields[0]?.tag === DER_TAG.integer ? fields : fields.slice(1);
  const none = new Uint8Array();
  return { issuer: issuer?.content ?? none, subject: subject?.content ?? none };
}
