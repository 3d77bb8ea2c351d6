import { X509Certificate } from "node:crypto";
import { DER_TAG, type DerValue, derParts, readDer } from "../stdx/mod.ts";
import { refused } from "./refusal.ts";
import { claimsSpiffe, faultOfSpiffeId } from "./spiffe-id.ts";

/** What a client certificate says of its holder. */
export interface CertificateFacts {
  readonly x509: X509Certificate;
  /** Undefined if there is none, or more than one: then it names nobody. */
  readonly commonName: string | undefined;
  readonly organizations: readonly string[];
  readonly organizationalUnits: readonly string[];
  /** The one URI among its alternative names, if it is a SPIFFE id. */
  readonly spiffeId: string | undefined;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
/** 2.5.29.17 and 2.5.29.15, as their content octets in hex. */
const SUBJECT_ALT_NAME = "551d11";
const KEY_USAGE = "551d0f";
/** GeneralName [6], primitive: uniformResourceIdentifier (RFC 5280 §4.2.1.6). */
const URI_NAME = 0x86;
/** Extensions of a certificate's body: [3] EXPLICIT. */
const EXTENSIONS = 0xa3;
/** Bits 5 and 6 of the first octet of keyUsage: keyCertSign and cRLSign. */
const SIGNS_CERTIFICATES_OR_LISTS = 0x06;
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * Reads a certificate (DER) whose chain TLS has verified. Throws `invalid-token` if it is not one of
 * a client.
 */
export function readCertificate(raw: Uint8Array): CertificateFacts {
  const x509 = parse(raw);
  // Node calls the extended key usages `keyUsage`; a certificate without the extension has none.
  const usages: readonly string[] | undefined = x509.keyUsage;
  if (!(usages ?? []).includes(CLIENT_AUTH)) throw refused("the certificate is not for clients");
  if (x509.ca) throw refused("the certificate is an authority's");
  const notBefore = Date.parse(x509.validFrom);
  const notAfter = Date.parse(x509.validTo);
  if (!(notBefore <= notAfter)) throw refused("the certificate's dates are not readable");
  // The legacy object holds decoded values, and an array where a field is repeated. The subject's
  // text form would have to be split, which is how CVE-2021-44533 happened.
  const names = x509.toLegacyObject().subject as unknown as Readonly<Record<string, unknown>>;
  const commonNames = textsOf(names["CN"]);
  return {
    x509,
    commonName: commonNames.length === 1 ? commonNames[0] : undefined,
    organizations: textsOf(names["O"]),
    organizationalUnits: textsOf(names["OU"]),
    spiffeId: spiffeIdOf(x509.raw),
    notBefore,
    notAfter,
  };
}

function parse(raw: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(raw);
  } catch {
    throw refused("the certificate cannot be parsed");
  }
}

function textsOf(value: unknown): readonly string[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  return given.filter((text) => typeof text === "string");
}

/**
 * The names are read from the DER: the text form joins them by commas that a name can hold too
 * (CVE-2021-44532). A certificate that claims a SPIFFE id must keep all its rules, or is nobody:
 * which of two ids is meant would be a guess (X509-SVID.md §2, §5.2).
 */
function spiffeIdOf(raw: Uint8Array): string | undefined {
  const extensions = extensionsOf(raw);
  const uris = extensionOf(extensions, SUBJECT_ALT_NAME, "subjectAltName")
    .filter(({ tag }) => tag === URI_NAME)
    .map(({ content }) => Buffer.from(content).toString("latin1"));
  if (!uris.some(claimsSpiffe)) return undefined;
  const [id = "", ...others] = uris;
  if (others.length > 0) throw refused("the certificate has a SPIFFE id and another URI");
  const fault = VISIBLE_ASCII.test(id) ? faultOfSpiffeId(id) : "is not printable ASCII";
  if (fault !== undefined) throw refused(`the certificate's SPIFFE id ${fault}`);
  if (maySign(extensions)) {
    throw refused("the certificate has a SPIFFE id and a key usage of authorities");
  }
  return id;
}

interface RawExtension {
  /** Content octets in hex. */
  readonly id: string;
  readonly value: Uint8Array;
}

/** RFC 5280 §4.1: Certificate { body { ..., [3] { Extension { id, critical?, value } ... } }, ... }. */
function extensionsOf(raw: Uint8Array): readonly RawExtension[] {
  const [body] = derParts(readDer(raw, 0), DER_TAG.sequence) ?? unreadable();
  const fields = derParts(body, DER_TAG.sequence) ?? unreadable();
  const holder = fields.find(({ tag }) => tag === EXTENSIONS);
  if (holder === undefined) return [];
  const [list] = derParts(holder, EXTENSIONS) ?? unreadable();
  return (derParts(list, DER_TAG.sequence) ?? unreadable()).map((extension) => {
    const parts = derParts(extension, DER_TAG.sequence) ?? unreadable();
    const [id] = parts;
    const value = parts.at(-1);
    if (id?.tag !== DER_TAG.oid || value?.tag !== DER_TAG.octetString) unreadable();
    return { id: Buffer.from(id.content).toString("hex"), value: value.content };
  });
}

/** The parts of the extension's sequence; none if the certificate has no such extension. */
function extensionOf(
  extensions: readonly RawExtension[],
  id: string,
  name: string,
): readonly DerValue[] {
  const [first, second] = extensions.filter((extension) => extension.id === id);
  // RFC 5280 §4.2; readers would differ in which they take.
  if (second !== undefined) throw refused(`the certificate has two extensions ${name}`);
  if (first === undefined) return [];
  return derParts(readDer(first.value, 0), DER_TAG.sequence) ?? unreadable();
}

function maySign(extensions: readonly RawExtension[]): boolean {
  return extensions
    .filter(({ id }) => id === KEY_USAGE)
    .some(({ value }) => {
      const bits = readDer(value, 0);
      if (bits?.tag !== DER_TAG.bitString) return unreadable();
      // The first octet counts the unused bits of the last.
      return ((bits.content[1] ?? 0) & SIGNS_CERTIFICATES_OR_LISTS) !== 0;
    });
}

function unreadable(): never {
  throw refused("the certificate's extensions cannot be read");
}
