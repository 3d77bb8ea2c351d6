import { timingSafeEqual } from "node:crypto";
import { CofferError } from "../errors.ts";
import type { ClusterId, TenantId } from "../core/types/mod.ts";
import { deriveBytes, lengthPrefixed, uint64Bytes } from "./key-material.ts";
import { KEY_BYTES, NONCE_BYTES, type BoxCipher, type CipherKey } from "./xchacha.ts";

/**
 * Keys at rest (security.md section 2). All fields but the commitment are authenticated with the
 * ciphertext. XChaCha20-Poly1305 does not commit to its key: one ciphertext can be made that opens
 * under two keys. The commitment, a hash of the key and its name, makes sure that a name means one
 * key.
 */
export interface WrappedKey {
  /** See key-id.ts. */
  readonly id: string;
  /** The id of the key that wraps this one; for a root key the provider's key. */
  readonly parent: string;
  readonly suite: number;
  readonly state: KeyState;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Empty for a root key, whose ciphertext is its provider's, and for a destroyed key. */
  readonly nonce: Uint8Array;
  /** With the tag. Empty for a destroyed key. */
  readonly ciphertext: Uint8Array;
  readonly commitment: Uint8Array;
}

/** Only an active key seals; all but a destroyed one open. */
export type KeyState = "pre-active" | "active" | "decrypt-only" | "destroyed";

/** Where a key belongs. Bound to the wrapped key, so that it opens nowhere else. */
export interface KeyPlace {
  readonly clusterId: ClusterId;
  readonly scope: TenantId;
}

export type KeyHeader = Pick<WrappedKey, "id" | "parent" | "suite" | "state" | "created">;

/** Wrapped by a root key provider, whose format is its own. */
export const SUITE_PROVIDER = 0;
export const SUITE_XCHACHA20_POLY1305 = 1;

const FORMAT = 1;
const STATES: readonly KeyState[] = ["pre-active", "active", "decrypt-only", "destroyed"];
const COMMITMENT_BYTES = 32;
const NOTHING = new Uint8Array(0);

/** `key` under `parent`. */
export function wrapKey(
  cipher: BoxCipher,
  parent: CipherKey,
  input: { readonly key: Uint8Array; readonly header: KeyHeader; readonly place: KeyPlace },
): WrappedKey {
  const { key, header, place } = input;
  const aad = wrapContext(header, place);
  const box = cipher.seal(parent, { aad, plaintext: key, headerBytes: 0 });
  return {
    ...header,
    nonce: box.subarray(0, NONCE_BYTES),
    ciphertext: box.subarray(NONCE_BYTES),
    commitment: keyCommitment(key, header.id, place),
  };
}

/**
 * The bytes of a wrapped key; the caller wipes them. Throws `record-invalid` if the wrapped key was
 * altered or moved, if `parent` is another key, or if the commitment is another key's.
 */
export function unwrapKey(
  cipher: BoxCipher,
  parent: CipherKey,
  input: { readonly wrapped: WrappedKey; readonly place: KeyPlace },
): Uint8Array {
  const { wrapped, place } = input;
  if (wrapped.state === "destroyed") throw invalid(wrapped.id, "has been destroyed");
  if (wrapped.suite !== SUITE_XCHACHA20_POLY1305) {
    throw invalid(
      wrapped.id,
      `names cipher suite ${wrapped.suite}, which this version cannot open`,
    );
  }
  const box = Buffer.concat([wrapped.nonce, wrapped.ciphertext]);
  const key = cipher.open(parent, wrapContext(wrapped, place), box);
  if (key === undefined) {
    throw invalid(wrapped.id, `was altered or moved, or is not wrapped by ${wrapped.parent}`);
  }
  checkCommitment(key, wrapped, place);
  return key;
}

/** Throws `record-invalid`, and wipes `key`, unless it is the key that `wrapped` commits to. */
export function checkCommitment(key: Uint8Array, wrapped: WrappedKey, place: KeyPlace): void {
  const lengthRight = key.length === KEY_BYTES;
  if (lengthRight && isSame(keyCommitment(key, wrapped.id, place), wrapped.commitment)) return;
  key.fill(0);
  throw invalid(wrapped.id, "opened to a key that its commitment does not name");
}

/** What stays of a key after its destruction: the header and the commitment. */
export function destroyedKey(wrapped: WrappedKey): WrappedKey {
  return { ...wrapped, state: "destroyed", nonce: NOTHING, ciphertext: NOTHING };
}

/** A hash of the key and its name; says nothing about the key to who does not have it. */
export function keyCommitment(key: Uint8Array, id: string, place: KeyPlace): Uint8Array {
  return deriveBytes(key, [utf8("coffer key commitment v1"), ...placeFields(place), utf8(id)]);
}

/** The bytes authenticated with a wrapped key. */
export function wrapContext(header: KeyHeader, place: KeyPlace): Uint8Array {
  return lengthPrefixed([
    utf8("coffer wrapped key v1"),
    ...placeFields(place),
    utf8(header.id),
    utf8(header.parent),
    Uint8Array.of(header.suite, STATES.indexOf(header.state)),
    uint64Bytes(BigInt(header.created)),
  ]);
}

/**
 * Format byte, suite, state, created (8 bytes), then id, parent, nonce and ciphertext, each after
 * its length in one byte except ciphertext, whose length takes two, then the commitment (32 bytes).
 */
export function encodeWrappedKey(wrapped: WrappedKey): Uint8Array {
  const size = Buffer.alloc(2);
  size.writeUInt16BE(wrapped.ciphertext.length);
  const id = utf8(wrapped.id);
  const parent = utf8(wrapped.parent);
  return Buffer.concat([
    Uint8Array.of(FORMAT, wrapped.suite, STATES.indexOf(wrapped.state)),
    uint64Bytes(BigInt(wrapped.created)),
    Uint8Array.of(id.length),
    id,
    Uint8Array.of(parent.length),
    parent,
    Uint8Array.of(wrapped.nonce.length),
    wrapped.nonce,
    size,
    wrapped.ciphertext,
    wrapped.commitment,
  ]);
}

/** Throws `record-invalid` if `bytes` are no wrapped key of a known format. */
export function decodeWrappedKey(bytes: Uint8Array): WrappedKey {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const format = view[0];
  if (format !== FORMAT) {
    const seen = format === undefined ? "is empty" : `has format ${format}`;
    throw new CofferError("record-invalid", `a wrapped key ${seen}, this version reads ${FORMAT}`);
  }
  let at = 0;
  const take = (length: number): Buffer => {
    const end = at + length;
    if (end > view.length) throw new CofferError("record-invalid", "a wrapped key is cut short");
    const part = view.subarray(at, end);
    at = end;
    return part;
  };
  const head = take(11);
  const state = STATES[head[2] as number];
  const created = Number(head.readBigUInt64BE(3));
  if (state === undefined || !Number.isSafeInteger(created)) {
    throw new CofferError("record-invalid", "a wrapped key has an unknown state or time");
  }
  const id = take(take(1)[0] as number).toString("utf8");
  const parent = take(take(1)[0] as number).toString("utf8");
  const nonce = take(take(1)[0] as number);
  const ciphertext = take(take(2).readUInt16BE());
  const commitment = take(COMMITMENT_BYTES);
  if (at !== view.length) throw invalid(id, "has bytes after its end");
  return { id, parent, suite: head[1] as number, state, created, nonce, ciphertext, commitment };
}

function placeFields(place: KeyPlace): readonly Uint8Array[] {
  return [uint64Bytes(place.clusterId), utf8(place.scope)];
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function invalid(id: string, problem: string): CofferError {
  return new CofferError("record-invalid", `key ${id} ${problem}`);
}

function utf8(text: string): Buffer {
  return Buffer.from(text, "utf8");
}
