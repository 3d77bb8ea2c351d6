import { assert } from "./assert.ts";

/**
 * Byte strings: immutable bytes held in a JavaScript string, one char code (0-255) per byte.
 * `<`, `===` and Map keys then work by byte order, which decoded text does not give.
 */

const CHUNK_BYTES = 4096;

/** The byte string of `bytes`. */
export function byteStringOf(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK_BYTES) return fromCharCodes(bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    text += fromCharCodes(bytes.subarray(at, at + CHUNK_BYTES));
  }
  return text;
}

/** The bytes of a byte string, in a fresh array. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    assert(code <= 0xff, "Byte string holds a char code above 255");
    bytes[i] = code;
  }
  return bytes;
}

/** Order of two byte strings by bytes: negative, zero or positive. */
export function compareByteStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The smallest byte string greater than every string that starts with `prefix`, or `undefined`
 * if there is none (the prefix is empty or all 0xff).
 */
export function prefixEnd(prefix: string): string | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const code = prefix.charCodeAt(i);
    if (code < 0xff) return prefix.slice(0, i) + String.fromCharCode(code + 1);
  }
  return undefined;
}

function fromCharCodes(bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}
