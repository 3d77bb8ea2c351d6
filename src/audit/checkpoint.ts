import { type KeyObject, createPublicKey, hash, sign, verify } from "node:crypto";

/**
 * A signed place in a chain. Whoever keeps one elsewhere can prove that the chain up to it was not cut,
 * edited or written anew.
 */
export interface Checkpoint {
  /** `head`: the last record of the chain as it was made. `begin`: the last one that retention removed. */
  readonly kind: "head" | "begin";
  /** Hexadecimal. */
  readonly cluster: string;
  /** The member whose chain it is, hexadecimal. */
  readonly member: string;
  /** Of the records of this tenant on that member; "": of all its records. */
  readonly tenant: string;
  readonly seq: number;
  readonly hash: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

export interface SignedCheckpoint extends Checkpoint {
  /** The raw Ed25519 key, base64url. Worth what the way is worth that it came by. */
  readonly publicKey: string;
  readonly signature: string;
}

/** Makes signatures. */
export interface CheckpointSigner {
  readonly publicKey: string;
  sign(bytes: Uint8Array): Uint8Array;
}

/** The signer of an Ed25519 private key. */
export function signerOf(privateKey: KeyObject): CheckpointSigner {
  const { x = "" } = createPublicKey(privateKey).export({ format: "jwk" });
  return { publicKey: x, sign: (bytes) => sign(null, bytes, privateKey) };
}

export function signCheckpoint(checkpoint: Checkpoint, signer: CheckpointSigner): SignedCheckpoint {
  const signature = signer.sign(signedBytes(checkpoint));
  return {
    ...checkpoint,
    publicKey: signer.publicKey,
    signature: Buffer.from(signature).toString("base64url"),
  };
}

/** Names a key: the start of its SHA-256, hexadecimal. */
export function checkpointKeyId(publicKey: string): string {
  return hash("sha256", Buffer.from(publicKey, "base64url"), "hex").slice(0, 32);
}

/** Whether the signature is of its own key; whose that is, the caller must know. */
export function isSignedByItsKey(checkpoint: SignedCheckpoint): boolean {
  try {
    const jwk = { kty: "OKP", crv: "Ed25519", x: checkpoint.publicKey };
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const signature = Buffer.from(checkpoint.signature, "base64url");
    return verify(null, signedBytes(checkpoint), key, signature);
  } catch {
    return false;
  }
}

/** Fields after their names, a line each: none of them can hold a line feed. */
function signedBytes({
  kind,
  cluster,
  member,
  tenant,
  seq,
  hash: digest,
  time,
}: Checkpoint): Buffer {
  const fields = { kind, cluster, member, tenant, seq, hash: digest, time };
  const lines = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return Buffer.from(`coffer audit checkpoint 1\n${lines.join("\n")}\n`, "latin1");
}

/** One line of JSON, as records of the state and exports hold it. */
export function encodeCheckpoint(checkpoint: SignedCheckpoint): string {
  const { kind, cluster, member, tenant, seq, publicKey, signature } = checkpoint;
  const time = new Date(checkpoint.time).toISOString();
  const fields = { cluster, member, tenant, seq, hash: checkpoint.hash, time };
  const keyId = checkpointKeyId(publicKey);
  return JSON.stringify({ checkpoint: kind, ...fields, keyId, publicKey, signature });
}

const HEX = /^[0-9a-f]{1,64}$/;
const BASE64URL = /^[A-Za-z0-9_-]{1,128}$/;
const TENANT = /^[a-z0-9-]{0,64}$/;

/** Undefined for what is no checkpoint. */
export function decodeCheckpoint(value: unknown): SignedCheckpoint | undefined {
  const parsed = typeof value === "string" ? parse(value) : value;
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const fields = parsed as Readonly<Record<string, unknown>>;
  const text = (name: string, form: RegExp): string | undefined => {
    const found = fields[name];
    return typeof found === "string" && form.test(found) ? found : undefined;
  };
  const kind = fields["checkpoint"];
  const cluster = text("cluster", HEX);
  const member = text("member", HEX);
  const tenant = text("tenant", TENANT);
  const digest = text("hash", HEX);
  const publicKey = text("publicKey", BASE64URL);
  const signature = text("signature", BASE64URL);
  const seq = Number(fields["seq"]);
  const time = Date.parse(text("time", /^[0-9TZ:.+-]{1,40}$/) ?? "");
  if (kind !== "head" && kind !== "begin") return undefined;
  if (cluster === undefined || member === undefined || tenant === undefined) return undefined;
  if (digest === undefined || publicKey === undefined || signature === undefined) return undefined;
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(time)) return undefined;
  return { kind, cluster, member, tenant, seq, hash: digest, time, publicKey, signature };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
