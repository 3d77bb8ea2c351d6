import { hkdfSync, randomFillSync } from "node:crypto";
import { KEY_BYTES, type CipherKey } from "./xchacha.ts";

/**
 * Key bytes and what is derived from them. A key never serves two purposes: it is only ever the
 * input of HKDF-SHA-256 (RFC 5869), whose info names the purpose. Never from Buffer's pool, whose
 * slabs are shared with other data and are not wiped.
 */

const EMPTY = new Uint8Array(0);

/** A fresh random key. */
export function newKeyBytes(): Uint8Array {
  const key = Buffer.allocUnsafeSlow(KEY_BYTES);
  randomFillSync(key);
  return key;
}

/** 32 bytes derived from `key` for the purpose that the fields name. */
export function deriveBytes(key: Uint8Array, fields: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key, EMPTY, lengthPrefixed(fields), KEY_BYTES));
}

/** A cipher key derived from `key`; `purpose` is one of Coffer's own words. */
export function deriveCipherKey(key: Uint8Array, ...purpose: readonly string[]): CipherKey {
  const fields = ["coffer cipher key v1", ...purpose].map((word) => Buffer.from(word, "utf8"));
  return new Uint32Array(hkdfSync("sha256", key, EMPTY, lengthPrefixed(fields), KEY_BYTES));
}

/**
 * Each field after its length as four big-endian bytes, so that no two lists give the same bytes.
 */
export function lengthPrefixed(fields: readonly Uint8Array[]): Buffer {
  const total = fields.reduce((sum, field) => sum + 4 + field.length, 0);
  const out = Buffer.alloc(total);
  let at = 0;
  for (const field of fields) {
    at = out.writeUInt32BE(field.length, at);
    out.set(field, at);
    at += field.length;
  }
  return out;
}

/** `value` in four big-endian bytes. */
export function uint32Bytes(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

/** `value` in eight big-endian bytes. */
export function uint64Bytes(value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(value);
  return out;
}
