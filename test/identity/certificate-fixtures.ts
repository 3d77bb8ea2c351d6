import { createHash, type KeyObject } from "node:crypto";
import forge from "node-forge";
import type { PeerCertificate } from "../../src/identity/mod.ts";
import { keysFor, NOW_MS } from "./fixtures.ts";

export interface Wanted {
  readonly subject?: readonly { readonly name: string; readonly value: string }[];
  readonly extensions?: readonly object[];
  readonly from?: number;
  readonly to?: number;
}

export const CLIENT: object = { name: "extKeyUsage", clientAuth: true };
const DAY = 86_400_000;
let serial = 1;

/** A self-signed certificate of the RS256 test key. */
export function certificateOf(wanted: Wanted = {}): PeerCertificate {
  const key: KeyObject = keysFor("RS256").privateKey;
  const pem = key.export({ type: "pkcs8", format: "pem" }) as string;
  const privateKey = forge.pki.privateKeyFromPem(pem);
  const made = forge.pki.createCertificate();
  made.publicKey = forge.pki.setRsaPublicKey(privateKey.n, privateKey.e);
  made.serialNumber = (serial++).toString(16).padStart(2, "0");
  made.validity.notBefore = new Date(wanted.from ?? NOW_MS - DAY);
  made.validity.notAfter = new Date(wanted.to ?? NOW_MS + DAY);
  made.setSubject([...(wanted.subject ?? [{ name: "commonName", value: "node-1" }])]);
  made.setIssuer([{ name: "commonName", value: "test" }]);
  made.setExtensions([...(wanted.extensions ?? [CLIENT])]);
  made.sign(privateKey, forge.md.sha256.create());
  const raw = Buffer.from(forge.asn1.toDer(forge.pki.certificateToAsn1(made)).getBytes(), "latin1");
  return { raw, thumbprint: createHash("sha256").update(raw).digest("base64url") };
}
