import { CofferError } from "../errors.ts";

const TENANT_HEX_DIGITS = 32;
const LONE_SURROGATE = /\p{Surrogate}/u;
const DASH = 0x2d;

/**
 * Appends to a growable array. Given a good `sizeHint` the array is allocated once, so every value is
 * copied exactly once, from the request into the batch.
 */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(sizeHint: number) {
    this.#bytes = Buffer.allocUnsafe(Math.max(sizeHint, 64));
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, not copied: the writer must not be used afterwards. */
  finish(): Uint8Array {
    const { buffer, byteOffset } = this.#bytes;
    return new Uint8Array(buffer, byteOffset, this.#length);
  }

  /** The next `count` bytes, to be filled in by the caller before it writes on. */
  place(count: number): Uint8Array {
    this.#reserve(count);
    const from = this.#length;
    this.#length += count;
    return this.#bytes.subarray(from, this.#length);
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  bool(value: boolean): void {
    this.byte(value ? 1 : 0);
  }

  /** An integer in [0, 2^53) in 7-bit groups, lowest first, the high bit set on all but the last. */
  uint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new CofferError("invalid-argument", "a number is not an integer from 0 to 2^53 - 1");
    }
    this.#reserve(8);
    this.#uint(value);
  }

  /**
   * An integer in (-2^53, 2^53). The first byte holds the sign in bit 6 and the lowest six bits of
   * the magnitude; the rest follows as in `uint`. (Zigzag would need 54 bits.)
   */
  int(value: number): void {
    if (!Number.isSafeInteger(value)) {
      throw new CofferError("invalid-argument", "a number is not a safe integer");
    }
    this.#reserve(9);
    const magnitude = Math.abs(value);
    const rest = Math.floor(magnitude / 64);
    const first = (magnitude % 64) | (value < 0 ? 0x40 : 0);
    this.#bytes[this.#length++] = rest === 0 ? first : first | 0x80;
    if (rest !== 0) this.#uint(rest);
  }

  /** The length of a list of at most `max`. */
  listLength(value: number, max: number): void {
    if (value > max) throw new CofferError("invalid-argument", `a list has more than ${max} items`);
    this.uint(value);
  }

  /** An integer in [0, 2^32), big-endian. */
  uint32(value: number): void {
    this.#reserve(4);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.#length = at + 4;
  }

  /** The low 64 bits, big-endian. */
  uint64(value: bigint): void {
    this.#reserve(8);
    this.#bytes.writeBigUInt64BE(BigInt.asUintN(64, value), this.#length);
    this.#length += 8;
  }

  /** Length, then the bytes. */
  blob(value: Uint8Array): void {
    this.uint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** A byte string: length, then one byte for each char. */
  byteString(value: string): void {
    const count = value.length;
    this.uint(count);
    this.#reserve(count);
    const bytes = this.#bytes;
    let at = this.#length;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const code = value.charCodeAt(i);
      seen |= code;
      bytes[at++] = code;
    }
    if (seen > 0xff) throw new CofferError("invalid-argument", "a key is not a byte string");
    this.#length = at;
  }

  /** Text: length in bytes, then UTF-8. A lone surrogate has no UTF-8 and is refused. */
  text(value: string): void {
    const count = value.length;
    const start = this.#length;
    this.uint(count);
    this.#reserve(count);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < count; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) {
        this.#length = start;
        this.#wideText(value);
        return;
      }
      bytes[at++] = code;
    }
    this.#length = at;
  }

  /** A uuid as its 16 bytes. */
  uuid(value: string): void {
    this.#reserve(TENANT_HEX_DIGITS / 2);
    let high = -1;
    let digits = 0;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code === DASH) continue;
      const digit = hexDigit(code);
      if (digit < 0 || digits === TENANT_HEX_DIGITS) throw notUuid();
      digits++;
      if (high < 0) {
        high = digit;
      } else {
        this.#bytes[this.#length++] = (high << 4) | digit;
        high = -1;
      }
    }
    if (digits !== TENANT_HEX_DIGITS) throw notUuid();
  }

  #uint(value: number): void {
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value;
    while (rest > 0x7fffffff) {
      bytes[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  #wideText(value: string): void {
    if (LONE_SURROGATE.test(value)) {
      throw new CofferError("invalid-argument", "a text holds half of a surrogate pair");
    }
    const size = Buffer.byteLength(value, "utf8");
    this.uint(size);
    this.#reserve(size);
    this.#length += this.#bytes.write(value, this.#length, "utf8");
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10;
  return -1;
}

function notUuid(): CofferError {
  return new CofferError("invalid-argument", "a tenant id is not a lower-case uuid");
}
