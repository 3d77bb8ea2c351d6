import type { KeyObject } from "node:crypto";
import { createAuthority, type Authority } from "../../src/pki/mod.ts";
import { newKeyPair } from "../../src/key-pair/mod.ts";
import { keyIdentifier, newSerial, signCertificate } from "../../src/pki/certificate.ts";
import type { CertificateBody } from "../../src/pki/certificate.ts";
import { authorityExtensions, leafExtensions } from "../../src/pki/extension.ts";
import { boolean, sequence } from "../../src/pki/der.ts";
import { encodeName } from "../../src/pki/name.ts";
import { OID } from "../../src/pki/oids.ts";
import { pemOf } from "../../src/pki/pem.ts";
import type { Identity } from "./handshake.ts";

export const HOUR = 3_600_000;

/**
 * A certificate that the room's public face would not issue: any field can be what the test wants.
 */
export function forge(
  authority: Authority,
  commonName: string,
  change: Partial<CertificateBody> = {},
): Identity & { readonly key: KeyObject } {
  const { privateKey, publicKey } = newKeyPair("p-256");
  const extensions = leafExtensions({
    keyId: keyIdentifier(publicKey),
    authorityKeyId: authority.keyId,
    usages: ["client"],
    altNames: { dns: [], ips: [] },
  });
  const body: CertificateBody = {
    serial: newSerial(),
    issuer: authority.subjectName,
    subject: encodeName({ commonName }),
    notBefore: Date.now() - HOUR,
    notAfter: Date.now() + HOUR,
    publicKey,
    extensions,
    ...change,
  };
  return {
    certificate: pemOf("CERTIFICATE", signCertificate(body, authority.privateKey)),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    key: privateKey,
  };
}

/** An authority under `root`; without basicConstraints when told so. */
export function intermediate(
  root: Authority,
  commonName: string,
  basicConstraints: "with" | "without",
): Authority {
  const { privateKey, publicKey } = newKeyPair("p-256");
  const all = authorityExtensions(keyIdentifier(publicKey));
  const extensions = basicConstraints === "with" ? all : all.slice(1);
  const { certificate } = forge(root, commonName, { publicKey, extensions });
  const shape = createAuthority({ commonName });
  return { ...shape, certificate, privateKey, keyId: keyIdentifier(publicKey) };
}

/** A root that may have authorities below it, as this room's own roots may not. */
export function openRoot(commonName: string): Authority {
  const shape = createAuthority({ commonName });
  const keyId = keyIdentifier(shape.privateKey);
  const value = sequence(boolean(true));
  const constraints = { id: OID.basicConstraints, critical: true, value };
  const { certificate } = forge(shape, commonName, {
    publicKey: shape.privateKey,
    subject: shape.subjectName,
    extensions: [constraints, ...authorityExtensions(keyId).slice(1)],
  });
  return { ...shape, certificate };
}
