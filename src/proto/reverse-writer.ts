/**
 * Writes a protobuf message from its last field to its first, at the end of a buffer. A nested
 * message's length is then known when its prefix is written, so there is one pass, no size
 * computation and no buffer per message. Fields must be written in descending order to come out
 * ascending; repeated ones from the last item to the first.
 *
 * One writer is used again and again: every message ends with `take`.
 */

const INITIAL_BYTES = 16 * 1024;
/** A larger buffer is given back after use, so that one large reply does not cost memory for ever. */
const KEPT_BYTES = 1024 * 1024;

const VARINT = 0;
const DELIMITED = 2;
const TWO_28 = 0x10000000;

/** Node's own method, which @types/node leaves out; it spares the parsing of an encoding. */
interface Latin1Writer {
  latin1Write(text: string, offset: number, length: number): number;
}

export class ReverseWriter {
  #buffer: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Where the written bytes begin. Invariant: 0 <= #at <= #buffer.length. */
  #at: number = INITIAL_BYTES;

  /** Bytes written so far; what `close` takes to know where a nested message ends. */
  get written(): number {
    return this.#buffer.length - this.#at;
  }

  /** Writes the tag and length of the nested message written since `mark`. */
  close(field: number, mark: number): void {
    this.#varint(this.written - mark);
    this.#varint((field << 3) | DELIMITED);
  }

  /** A signed 64-bit field from a safe integer; nothing for 0. */
  int(field: number, value: number): void {
    if (value === 0) return;
    if (value < 0) return this.big(field, BigInt(value));
    this.#varint(value);
    this.#varint((field << 3) | VARINT);
  }

  /** A 64-bit field, signed or not; nothing for 0. */
  big(field: number, value: bigint): void {
    if (value === 0n) return;
    let rest = BigInt.asUintN(64, value);
    const bytes: number[] = [];
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.raw(Uint8Array.from(bytes));
    this.#varint((field << 3) | VARINT);
  }

  /** Nothing for false. */
  bool(field: number, value: boolean): void {
    if (!value) return;
    this.#varint(1);
    this.#varint((field << 3) | VARINT);
  }

  /** Nothing for no bytes. */
  bytes(field: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.raw(value);
    this.#varint(value.length);
    this.#varint((field << 3) | DELIMITED);
  }

  /** A bytes field from a byte string (one char per byte); nothing for "". */
  byteString(field: number, value: string): void {
    const length = value.length;
    if (length === 0) return;
    this.#reserve(length);
    this.#at -= length;
    (this.#buffer as Buffer & Latin1Writer).latin1Write(value, this.#at, length);
    this.#varint(length);
    this.#varint((field << 3) | DELIMITED);
  }

  /** A string field; nothing for "". */
  text(field: number, value: string): void {
    if (value !== "") this.bytes(field, Buffer.from(value, "utf8"));
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  /** A copy of all that was written, after `headroom` bytes left for the caller to fill. */
  take(headroom: number): Buffer {
    const out = Buffer.allocUnsafe(headroom + this.written);
    this.#buffer.copy(out, headroom, this.#at);
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#at = this.#buffer.length;
    return out;
  }

  /** Forgets what was written, after an encoder threw midway. */
  reset(): void {
    this.#at = this.#buffer.length;
  }

  #varint(value: number): void {
    this.#reserve(10);
    if (value < 0x80) {
      this.#buffer[--this.#at] = value;
    } else if (value < TWO_28) {
      this.#at -= smallSize(value);
      putSmall(this.#buffer, this.#at, value);
    } else {
      const high = Math.floor(value / TWO_28);
      this.#at -= 4 + smallSize(high);
      const low = value % TWO_28;
      for (let i = 0; i < 4; i++) this.#buffer[this.#at + i] = ((low >>> (7 * i)) & 0x7f) | 0x80;
      putSmall(this.#buffer, this.#at + 4, high);
    }
  }

  #reserve(size: number): void {
    if (this.#at >= size) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.written + size));
    const at = grown.length - this.written;
    this.#buffer.copy(grown, at, this.#at);
    this.#buffer = grown;
    this.#at = at;
  }
}

/** Bytes of the varint of a number below 2^28. */
function smallSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x200000 ? 3 : 4;
}

function putSmall(buffer: Buffer, start: number, value: number): void {
  let at = start;
  let rest = value;
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[at] = rest;
}
