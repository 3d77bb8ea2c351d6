import {
  type KeyObject,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
} from "node:crypto";

export type KeyKind = "p-256" | "ed25519";

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/**
 * A fresh pair; takes a tenth of a millisecond. The key is made as bytes and read again: node keeps the
 * job that made a key until the collector comes, and ends it under the key's lock. Should that happen
 * while the same key is exported as a JWK, which holds the lock and allocates, the process waits for
 * itself for ever (Node 20.20: node::crypto::KeyGenJob).
 */
export function newKeyPair(kind: KeyKind): KeyPair {
  const der = kind === "p-256" ? p256() : ed25519();
  try {
    const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  } finally {
    der.fill(0);
  }
}

const PUBLIC = { format: "der", type: "spki" } as const;
const PRIVATE = { format: "der", type: "pkcs8" } as const;

function p256(): Buffer {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: PUBLIC,
    privateKeyEncoding: PRIVATE,
  }).privateKey;
}

function ed25519(): Buffer {
  return generateKeyPairSync("ed25519", {
    publicKeyEncoding: PUBLIC,
    privateKeyEncoding: PRIVATE,
  }).privateKey;
}
