import { generateKeyPairSync } from "node:crypto";

import forge from "node-forge";

/** Certificates for one test run. A CA and its leaves share one RSA key: making keys takes time. */

interface Keys {
  readonly pem: string;
  readonly secret: forge.pki.rsa.PrivateKey;
  readonly open: forge.pki.rsa.PublicKey;
}

function createKeys(): Keys {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs1", format: "pem" }).toString();
  const secret = forge.pki.privateKeyFromPem(pem);
  return { pem, secret, open: forge.pki.setRsaPublicKey(secret.n, secret.e) };
}

const DAY_MS = 86_400_000;

export interface Leaf {
  readonly name: string;
  readonly use: "serverAuth" | "clientAuth";
  /** Days from now. */
  readonly from?: number;
  readonly to?: number;
}

export interface TestCa {
  readonly pem: string;
  issue(leaf: Leaf): { readonly cert: string; readonly key: string };
}

export function createCa(name: string): TestCa {
  const keys = createKeys();
  const { secret } = keys;
  let serials = 1;
  const ca = certificate(keys, { subject: name, issuer: name, serial: "01", from: -1, to: 30 });
  ca.setExtensions([
    { name: "basicConstraints", cA: true, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
  ]);
  ca.sign(secret, forge.md.sha256.create());
  return {
    pem: forge.pki.certificateToPem(ca),
    issue: ({ name: subject, use, from = -1, to = 30 }) => {
      const serial = (++serials).toString(16).padStart(4, "0");
      const leaf = certificate(keys, { subject, issuer: name, serial, from, to });
      leaf.setExtensions([
        { name: "basicConstraints", cA: false, critical: true },
        { name: "keyUsage", digitalSignature: true, critical: true },
        { name: "extKeyUsage", [use]: true },
        {
          name: "subjectAltName",
          altNames: [
            { type: 2, value: "localhost" },
            { type: 7, ip: "127.0.0.1" },
          ],
        },
      ]);
      leaf.sign(secret, forge.md.sha256.create());
      return { cert: forge.pki.certificateToPem(leaf), key: keys.pem };
    },
  };
}

interface Fields {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  readonly from: number;
  readonly to: number;
}

function certificate(
  keys: Keys,
  { subject, issuer, serial, from, to }: Fields,
): forge.pki.Certificate {
  const made = forge.pki.createCertificate();
  made.publicKey = keys.open;
  made.serialNumber = serial;
  made.validity.notBefore = new Date(Date.now() + from * DAY_MS);
  made.validity.notAfter = new Date(Date.now() + to * DAY_MS);
  made.setSubject([{ name: "commonName", value: subject }]);
  made.setIssuer([{ name: "commonName", value: issuer }]);
  return made;
}
