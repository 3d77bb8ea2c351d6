/**
 * Length-prefixed messages of gRPC (grpc/grpc doc/PROTOCOL-HTTP2.md): one byte that says whether the
 * message is compressed, four bytes of length, the message.
 */

export const FRAME_PREFIX_BYTES = 5;

/** What is wrong with the prefix of a frame. */
export type FrameFault =
  | { readonly kind: "compressed" }
  | { readonly kind: "unknown-flag"; readonly flag: number }
  | { readonly kind: "too-large"; readonly bytes: number; readonly bytesMax: number };

/** Fills the prefix of a frame whose message begins at byte 5. */
export function fillPrefix(frame: Buffer): Buffer {
  frame[0] = 0;
  frame.writeUInt32BE(frame.length - FRAME_PREFIX_BYTES, 1);
  return frame;
}

/** The frame of `message`. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + message.length);
  frame.set(message, FRAME_PREFIX_BYTES);
  return fillPrefix(frame);
}

export interface FrameReaderOptions {
  /** Largest message, prefix not counted. */
  readonly bytesMax: number;
  /** The error that `next` throws for a fault. */
  readonly errorOf: (fault: FrameFault) => Error;
}

/** Cuts the bytes of one stream into messages. Holds at most one unfinished message and one chunk. */
export class FrameReader {
  readonly #options: FrameReaderOptions;
  #chunks: Buffer[] = [];
  #held = 0;
  /** Bytes that complete the frame at the front, prefix included; 0 while the prefix is not whole. */
  #wanted = 0;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Whether bytes of an unfinished frame are held. */
  get partial(): boolean {
    return this.#held > 0;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /** The next whole message; throws as soon as a prefix is not acceptable, before its message comes. */
  next(): Buffer | undefined {
    if (this.#wanted === 0) {
      if (this.#held < FRAME_PREFIX_BYTES) return undefined;
      this.#wanted = FRAME_PREFIX_BYTES + this.#messageBytes(this.#front(FRAME_PREFIX_BYTES));
    }
    if (this.#held < this.#wanted) return undefined;
    const front = this.#front(this.#wanted);
    const message = front.subarray(FRAME_PREFIX_BYTES, this.#wanted);
    this.#held -= this.#wanted;
    if (front.length > this.#wanted) this.#chunks[0] = front.subarray(this.#wanted);
    else this.#chunks.shift();
    this.#wanted = 0;
    return message;
  }

  /** The first chunk, joined with those behind it if it holds less than `size` bytes. */
  #front(size: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= size) return first;
    const joined = Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [joined];
    return joined;
  }

  #messageBytes(prefix: Buffer): number {
    const { bytesMax, errorOf } = this.#options;
    const flag = prefix[0] ?? 0;
    if (flag === 1) throw errorOf({ kind: "compressed" });
    if (flag !== 0) throw errorOf({ kind: "unknown-flag", flag });
    const bytes = prefix.readUInt32BE(1);
    if (bytes > bytesMax) throw errorOf({ kind: "too-large", bytes, bytesMax });
    return bytes;
  }
}
