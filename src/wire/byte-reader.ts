import { CofferError } from "../errors.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The 53 bits of a safe integer are seven groups of seven bits and one of four. */
const UINT_GROUPS_MAX = 8;

/** Node's own slices, which its typings leave out: half the cost of `toString` for short strings. */
interface SlicedBuffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  hexSlice(start: number, end: number): string;
}

/**
 * Reads from the front of an array. Every method throws CofferError `corrupt` rather than read past
 * the end, and accepts only what ByteWriter writes, so that a value has exactly one encoding.
 */
export class ByteReader {
  readonly #bytes: SlicedBuffer;
  /** What is read, for the text of errors. */
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#what = what;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#bytes = view as SlicedBuffer;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw this.malformed("it ends too early");
    this.#at++;
    return value;
  }

  bool(): boolean {
    const value = this.byte();
    if (value > 1) throw this.malformed("a boolean is neither 0 nor 1");
    return value === 1;
  }

  uint(): number {
    let value = 0;
    let scale = 1;
    for (let group = 1; group <= UINT_GROUPS_MAX; group++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && group > 1) throw this.malformed("a number is longer than needed");
        if (!Number.isSafeInteger(value)) throw this.malformed("a number is 2^53 or more");
        return value;
      }
      scale *= 128;
    }
    throw this.malformed("a number is longer than eight bytes");
  }

  int(): number {
    const first = this.byte();
    const low = first & 0x3f;
    const rest = first >= 0x80 ? this.uint() : 0;
    if (first >= 0x80 && rest === 0) throw this.malformed("a number is longer than needed");
    const magnitude = rest * 64 + low;
    if (!Number.isSafeInteger(magnitude)) throw this.malformed("a number is 2^53 or more");
    if ((first & 0x40) === 0) return magnitude;
    if (magnitude === 0) throw this.malformed("a number is minus zero");
    return -magnitude;
  }

  uint64(): bigint {
    const at = this.#skip(8);
    return this.#bytes.readBigUInt64BE(at);
  }

  /** A view of the array read from, not a copy. */
  blob(): Uint8Array {
    return this.bytes(this.uint());
  }

  /** As `blob`, of a length that is known. */
  bytes(size: number): Uint8Array {
    const at = this.#skip(size);
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, size);
  }

  byteString(): string {
    const size = this.uint();
    const at = this.#skip(size);
    return this.#bytes.latin1Slice(at, at + size);
  }

  text(): string {
    const size = this.uint();
    const at = this.#skip(size);
    const bytes = this.#bytes;
    for (let i = at; i < at + size; i++) {
      if ((bytes[i] ?? 0) > 0x7f) return this.#wideText(at, size);
    }
    return bytes.latin1Slice(at, at + size);
  }

  uuid(): string {
    const at = this.#skip(16);
    const hex = this.#bytes.hexSlice(at, at + 16);
    const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
    return `${parts.join("-")}-${hex.slice(20)}`;
  }

  /** How many items follow. Each takes at least `itemBytes`, which bounds what a reader allocates. */
  count(itemBytes = 1): number {
    const value = this.uint();
    if (value * itemBytes > this.remaining)
      throw this.malformed("a list claims more items than there are bytes");
    return value;
  }

  /** As `count`, of a list of at most `max`. */
  listLength(max: number): number {
    const value = this.count();
    if (value > max) throw this.malformed(`a list has more than ${max} items`);
    return value;
  }

  /** The version byte of a format that this build reads up to version `known`. */
  version(known: number): number {
    const version = this.byte();
    if (version === 0) throw this.malformed("it has no format version");
    if (version <= known) return version;
    throw new CofferError(
      "unimplemented",
      `${this.#what} has format version ${version}, but this build of Coffer reads versions up to ` +
        `${known}; upgrade this member`,
    );
  }

  /** Refuses what is left over. */
  end(): void {
    if (this.remaining > 0) throw this.malformed("bytes follow its end");
  }

  /** The item of `words` that the next byte names. */
  word<T>(words: readonly T[]): T {
    const word = words[this.byte()];
    if (word === undefined) throw this.malformed("a tag is unknown");
    return word;
  }

  malformed(why: string): CofferError {
    return new CofferError(
      "corrupt",
      `${this.#what} cannot be read at byte ${this.#at} of ${this.#bytes.length}: ${why}`,
    );
  }

  #wideText(at: number, size: number): string {
    try {
      return UTF8.decode(this.#bytes.subarray(at, at + size));
    } catch {
      throw this.malformed("a text is not UTF-8");
    }
  }

  #skip(size: number): number {
    if (size > this.remaining) throw this.malformed("it ends too early");
    const at = this.#at;
    this.#at += size;
    return at;
  }
}
