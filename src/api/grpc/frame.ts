import { ProtocolError } from "./status.ts";
import { grpcStatus } from "../../errors.ts";

/**
 * Length-prefixed messages of gRPC (grpc/grpc doc/PROTOCOL-HTTP2.md): one byte that says whether the
 * message is compressed, four bytes of length, the message.
 */

export const FRAME_PREFIX_BYTES = 5;

/** etcd's limit of a request, and the room it leaves for the rest of the message. */
export const MESSAGE_BYTES_MAX: number = 1536 * 1024 + 512 * 1024;

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

/** Cuts the bytes of one stream into messages. Holds at most one unfinished message and one chunk. */
export class FrameReader {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #held = 0;
  /** Bytes that complete the frame at the front, prefix included; 0 while the prefix is not whole. */
  #wanted = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
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

  /** The next whole message; throws ProtocolError as soon as a prefix is not acceptable. */
  next(): Buffer | undefined {
    if (this.#wanted === 0) {
      if (this.#held < FRAME_PREFIX_BYTES) return undefined;
      this.#wanted = FRAME_PREFIX_BYTES + this.#checkPrefix(this.#front(FRAME_PREFIX_BYTES));
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

  #checkPrefix(prefix: Buffer): number {
    const flag = prefix[0] ?? 0;
    if (flag === 1) {
      throw new ProtocolError(
        grpcStatus.unimplemented,
        "grpc: compressed messages are not accepted; send them with grpc-encoding identity",
      );
    }
    if (flag !== 0) {
      throw new ProtocolError(
        grpcStatus.internal,
        `grpc: received unexpected payload format ${String(flag)}`,
      );
    }
    const length = prefix.readUInt32BE(1);
    if (length > this.#bytesMax) {
      throw new ProtocolError(
        grpcStatus.resourceExhausted,
        `grpc: received message larger than max (${String(length)} vs. ${String(this.#bytesMax)})`,
      );
    }
    return length;
  }
}
