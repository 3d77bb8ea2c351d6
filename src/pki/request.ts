import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { CofferError } from "../errors.ts";
import { altNameCount, canonicalIp, decodeAltNames } from "./alt-name.ts";
import { contentOf, decode, encode, isContextTag, oidOf, partsOf, type Asn1 } from "./der.ts";
import {
  asksAuthority,
  decodeExtensions,
  type Extension,
  findExtension,
  type Usage,
  usagesOf,
} from "./extension.ts";
import { OID } from "./oids.ts";

/**
 * Signing requests (PKCS #10, RFC 2986). Only the key of a request is ever used. One that asks for
 * more than the profile grants is refused rather than quietly cut down, so that its sender learns
 * of it.
 */

/** Old tools write "NEW" into the label. */
const PEM_FORM =
  /^-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----\n([A-Za-z0-9+/=\n]+)-----END \1-----\s*$/;
const PEM_MAX = 16_384;
const CURVES: readonly string[] = ["prime256v1", "secp384r1", "secp521r1"];
const RSA_BITS_MIN = 2048;

const HASHES: { readonly [algorithm: string]: string } = {
  [OID.ecdsaWithSha256]: "sha256",
  [OID.ecdsaWithSha384]: "sha384",
  [OID.rsaWithSha256]: "sha256",
  [OID.rsaWithSha384]: "sha384",
};

/** What a request may ask for. */
export interface Granted {
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  readonly usages: readonly Usage[];
}

/**
 * The public key of a request that asks for nothing beyond `granted`. Throws `invalid-argument`.
 */
export function requestedKey(pem: string, granted: Granted): KeyObject {
  const base64 =
    pem.length > PEM_MAX ? undefined : PEM_FORM.exec(pem.replaceAll("\r\n", "\n"))?.[2];
  if (base64 === undefined) throw refused(`is not one PEM block of at most 16 KiB${foundIn(pem)}`);
  const parts = partsOf(decode(Buffer.from(base64, "base64"), "the signing request"));
  const [info, algorithm, signature] = parts;
  const [, , publicKeyInfo, ...rest] = partsOf(info);
  if (info === undefined || publicKeyInfo === undefined) throw refused("is cut short");
  const key = publicKeyOf(publicKeyInfo);
  checkSignature(info, { algorithm, signature, key });
  const attributes = rest.find((part) => isContextTag(part, 0));
  checkExtensions(extensionsOf(attributes), granted);
  return key;
}

/** What is there in its place, as far as the first characters tell. */
function foundIn(pem: string): string {
  if (pem.trim() === "") return ": it is empty";
  const label = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(pem.slice(0, PEM_MAX))?.[1];
  if (label === undefined) return ": it holds no PEM; from DER: openssl req -inform der";
  return label.endsWith("CERTIFICATE REQUEST") ? "" : `: it holds ${label}`;
}

function publicKeyOf(info: Asn1): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(encode(info)), type: "spki", format: "der" });
  } catch (cause) {
    throw new CofferError("invalid-argument", "the signing request holds no key", { cause });
  }
  const details = key.asymmetricKeyDetails;
  const strong =
    key.asymmetricKeyType === "ec"
      ? CURVES.includes(details?.namedCurve ?? "")
      : key.asymmetricKeyType === "rsa" && (details?.modulusLength ?? 0) >= RSA_BITS_MIN;
  if (!strong)
    throw refused("has a key other than EC P-256, P-384, P-521 or RSA of 2048 bits and more");
  return key;
}

/** Proof that the sender has the private key. */
function checkSignature(
  info: Asn1,
  by: {
    readonly algorithm: Asn1 | undefined;
    readonly signature: Asn1 | undefined;
    readonly key: KeyObject;
  },
): void {
  const hash = HASHES[oidOf(partsOf(by.algorithm)[0])];
  if (hash === undefined) throw refused("is signed with another algorithm than SHA-256 or SHA-384");
  const signature = contentOf(by.signature).subarray(1);
  if (!verify(hash, encode(info), by.key, signature))
    throw refused("is not signed with its own key");
}

function extensionsOf(attributes: Asn1 | undefined): readonly Extension[] {
  return partsOf(attributes)
    .filter((attribute) => oidOf(partsOf(attribute)[0]) === OID.extensionRequest)
    .flatMap((attribute) => partsOf(partsOf(attribute)[1]))
    .flatMap(decodeExtensions);
}

function checkExtensions(extensions: readonly Extension[], granted: Granted): void {
  if (asksAuthority(extensions))
    throw refused("asks to be an authority (CA:true, or to sign certificates)");
  for (const { id, value } of extensions) {
    if (id === OID.subjectAltName) checkAltNames(value, granted);
  }
  const foreign = usagesOf(extensions).find(
    (usage) => !granted.usages.some((one) => one === usage),
  );
  if (foreign !== undefined) throw refused(`asks for the usage ${foreign}, not granted`);
  const seen = new Set(extensions.map((extension) => extension.id));
  if (seen.size !== extensions.length) throw refused("asks for the same extension twice");
  if (findExtension(extensions, OID.authorityKeyIdentifier) !== undefined) {
    throw refused("names an authority's key");
  }
}

function checkAltNames(value: Asn1, granted: Granted): void {
  const { dns, ips } = decodeAltNames(value);
  if (dns.length + ips.length !== altNameCount(value)) {
    throw refused("asks for a name that is neither DNS nor an IP address");
  }
  const grantedIps = (granted.ips ?? []).map(canonicalIp);
  const foreign =
    dns.find((name) => !granted.dns?.includes(name)) ?? ips.find((ip) => !grantedIps.includes(ip));
  if (foreign !== undefined)
    throw refused(`asks for the name ${JSON.stringify(foreign)}, not granted`);
}

function refused(problem: string): CofferError {
  return new CofferError("invalid-argument", `the signing request ${problem}`);
}
