import { CofferError } from "../errors.ts";

/**
 * Reads the protobuf wire format where generated code is too slow. Never throws anything but
 * CofferError `invalid-argument`; what it returns views the message, without copying.
 */

const MAX_SAFE = Number.MAX_SAFE_INTEGER;
const TWO_32 = 0x100000000;

/** Node's own method, which @types/node leaves out; it spares the parsing of an encoding. */
interface Latin1Reader {
  latin1Slice(start: number, end: number): string;
}

export class WireReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#end = bytes.length;
  }

  /** The next field's tag (number << 3 | wire type), or 0 at the end of the message. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const first = this.#bytes[this.#at] ?? 0;
    let tag = first;
    if (first < 0x80) {
      this.#at++;
    } else {
      this.#readVarint();
      if (this.#high !== 0) throw malformed("a field number is out of range");
      tag = this.#low >>> 0;
    }
    if (tag >>> 3 === 0) throw malformed("a field has number 0");
    return tag;
  }

  /** A varint as a 32-bit unsigned number: enums and lengths. More significant bits are dropped. */
  uint32(): number {
    this.#readVarint();
    return this.#low >>> 0;
  }

  bool(): boolean {
    this.#readVarint();
    return this.#low !== 0 || this.#high !== 0;
  }

  /** A signed 64-bit number, clamped to the safe integers: never throws for what a client sends. */
  int(): number {
    this.#readVarint();
    if (this.#high === 0) return this.#low >>> 0;
    const value = (this.#high | 0) * TWO_32 + (this.#low >>> 0);
    return value > MAX_SAFE ? MAX_SAFE : value < -MAX_SAFE ? -MAX_SAFE : value;
  }

  /** A signed 64-bit number in full. */
  big(): bigint {
    this.#readVarint();
    if (this.#high === 0) return BigInt(this.#low >>> 0);
    return (BigInt(this.#high | 0) << 32n) | BigInt(this.#low >>> 0);
  }

  /** A view of a bytes field. */
  bytes(): Buffer {
    const start = this.#delimited();
    return this.#bytes.subarray(start, this.#at);
  }

  /** A bytes field as a byte string, one char per byte. */
  byteString(): string {
    const start = this.#delimited();
    return (this.#bytes as Buffer & Latin1Reader).latin1Slice(start, this.#at);
  }

  /** Passes over a field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#readVarint();
        return;
      case 1:
        return this.#advance(8);
      case 2:
        this.#delimited();
        return;
      case 5:
        return this.#advance(4);
      default:
        throw malformed("a field has an unknown wire type");
    }
  }

  #delimited(): number {
    this.#readVarint();
    const start = this.#at;
    this.#advance(this.#high === 0 ? this.#low >>> 0 : MAX_SAFE);
    return start;
  }

  #advance(count: number): void {
    if (count > this.#end - this.#at) throw malformed("it ends within a field");
    this.#at += count;
  }

  /** Reads a varint into #low and #high (32 bits each). */
  #readVarint(): void {
    const bytes = this.#bytes;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) throw malformed("it ends within a field");
      const byte = bytes[this.#at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw malformed("a number is longer than 10 bytes");
  }
}

function malformed(what: string): CofferError {
  return new CofferError("invalid-argument", `the message is not valid protobuf: ${what}`);
}
