import type { KeyObject } from "node:crypto";
import { newKeyPair } from "../../src/key-pair/mod.ts";
import { signedDer } from "../../src/pki/certificate.ts";
import { decode, explicit, oid, sequence, setOf, unsigned } from "../../src/pki/der.ts";
import { encodeExtensions, type Extension } from "../../src/pki/extension.ts";
import { encodeName } from "../../src/pki/name.ts";
import { OID } from "../../src/pki/oids.ts";

export interface RequestParts {
  readonly extensions?: readonly Extension[];
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly signer?: KeyObject;
}

/** A PKCS #10 request that names itself "asked". */
export function requestOf(parts: RequestParts = {}): string {
  const { publicKey, privateKey } = parts.keys ?? newKeyPair("p-256");
  const attributes = (parts.extensions ?? []).length
    ? [sequence(oid(OID.extensionRequest), setOf(encodeExtensions(parts.extensions ?? [])))]
    : [];
  const info = sequence(
    unsigned(Uint8Array.of(0)),
    encodeName({ commonName: "asked" }),
    decode(publicKey.export({ type: "spki", format: "der" }), "key"),
    explicit(0, ...attributes),
  );
  return requestPem(signedDer(info, parts.signer ?? privateKey));
}

export function requestPem(der: Uint8Array): string {
  const body = Buffer.from(der)
    .toString("base64")
    .replaceAll(/(.{64})/g, "$1\n")
    .trimEnd();
  const label = "CERTIFICATE REQUEST-----";
  return `-----BEGIN ${label}\n${body}\n-----END ${label}\n`;
}
