import { boolean, contentOf, decode, encode, isBoolean, octets, oid, oidOf } from "./der.ts";
import { bits, partsOf, sequence, tagged, unsigned, type Asn1 } from "./der.ts";
import { encodeAltNames, type AltNames } from "./alt-name.ts";
import { OID } from "./oids.ts";

/** Extensions of certificates, requests and revocation lists (RFC 5280 §4.2). */
export interface Extension {
  readonly id: string;
  readonly critical: boolean;
  readonly value: Asn1;
}

export type Usage = "server" | "client";

const USAGE_OIDS: { readonly [usage in Usage]: string } = {
  server: OID.serverAuth,
  client: OID.clientAuth,
};

/** Bits of keyUsage, from the first on (RFC 5280 §4.2.1.3). */
const DIGITAL_SIGNATURE = 0x80;
const KEY_CERT_SIGN = 0x04;
const CRL_SIGN = 0x02;

/** What an authority's own certificate carries: it signs leaves and no other authorities. */
export function authorityExtensions(keyId: Uint8Array): readonly Extension[] {
  const isAuthority = sequence(boolean(true), unsigned(Uint8Array.of(0)));
  return [
    { id: OID.basicConstraints, critical: true, value: isAuthority },
    { id: OID.keyUsage, critical: true, value: bits(Uint8Array.of(KEY_CERT_SIGN | CRL_SIGN), 1) },
    { id: OID.subjectKeyIdentifier, critical: false, value: octets(keyId) },
  ];
}

export interface LeafExtensions {
  readonly keyId: Uint8Array;
  readonly authorityKeyId: Uint8Array | undefined;
  readonly usages: readonly Usage[];
  readonly altNames: Pick<AltNames, "dns" | "ips">;
}

export function leafExtensions(leaf: LeafExtensions): readonly Extension[] {
  const { altNames } = leaf;
  const usages = sequence(...leaf.usages.map((usage) => oid(USAGE_OIDS[usage])));
  const list: Extension[] = [
    { id: OID.basicConstraints, critical: true, value: sequence() },
    { id: OID.keyUsage, critical: true, value: bits(Uint8Array.of(DIGITAL_SIGNATURE), 7) },
    { id: OID.extendedKeyUsage, critical: false, value: usages },
    { id: OID.subjectKeyIdentifier, critical: false, value: octets(leaf.keyId) },
  ];
  if (leaf.authorityKeyId !== undefined) list.push(authorityKeyExtension(leaf.authorityKeyId));
  if (altNames.dns.length + altNames.ips.length > 0) {
    list.push({ id: OID.subjectAltName, critical: false, value: encodeAltNames(altNames) });
  }
  return list;
}

export function authorityKeyExtension(keyId: Uint8Array): Extension {
  return { id: OID.authorityKeyIdentifier, critical: false, value: sequence(tagged(0, keyId)) };
}

export function encodeExtensions(extensions: readonly Extension[]): Asn1 {
  return sequence(
    ...extensions.map(({ id, critical, value }) => {
      const body = octets(encode(value));
      return critical ? sequence(oid(id), boolean(true), body) : sequence(oid(id), body);
    }),
  );
}

/** Throws `invalid-argument` if a value is not DER. */
export function decodeExtensions(list: Asn1 | undefined): readonly Extension[] {
  return partsOf(list).map((item) => {
    const [id, second, third] = partsOf(item);
    const hasFlag = isBoolean(second);
    const critical = hasFlag && contentOf(second)[0] !== 0;
    const name = oidOf(id);
    const value = decode(contentOf(hasFlag ? third : second), `extension ${name}`);
    return { id: name, critical, value };
  });
}

export function findExtension(extensions: readonly Extension[], id: string): Asn1 | undefined {
  return extensions.find((extension) => extension.id === id)?.value;
}

/** The purposes named by extendedKeyUsage; unknown ones by their OID. */
export function usagesOf(extensions: readonly Extension[]): readonly string[] {
  return partsOf(findExtension(extensions, OID.extendedKeyUsage)).map((part) => {
    const id = oidOf(part);
    return id === OID.serverAuth ? "server" : id === OID.clientAuth ? "client" : id;
  });
}

/** Whether basicConstraints or keyUsage says that this signs certificates or revocation lists. */
export function asksAuthority(extensions: readonly Extension[]): boolean {
  const [first] = partsOf(findExtension(extensions, OID.basicConstraints));
  if (isBoolean(first) && contentOf(first)[0] !== 0) return true;
  const keyUsage = findExtension(extensions, OID.keyUsage);
  // The first byte of a bit string tells how many bits are unused.
  const firstBits = keyUsage === undefined ? 0 : (contentOf(keyUsage)[1] ?? 0);
  return (firstBits & (KEY_CERT_SIGN | CRL_SIGN)) !== 0;
}
