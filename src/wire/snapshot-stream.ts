import type { SnapshotMeta } from "../core/raft/mod.ts";
import { assert, assertNever } from "../stdx/mod.ts";
import type { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { confStateBytes, readConfState, writeConfState } from "./conf-state.ts";
import { type FrameFormat, decodeFrame } from "./frame.ts";
import {
  SNAPSHOT_CHUNK_BYTES_MAX,
  SNAPSHOT_MESSAGE_BYTES_MAX,
  SNAPSHOT_STREAM_VERSION,
} from "./limits.ts";
import { snapshotKinds } from "./tags.ts";

/** How a snapshot goes from one member to another. `stream` is the sender's number for it. */
export type SnapshotStreamMessage =
  | {
      readonly kind: "offer";
      readonly stream: number;
      /** The sender's, as leader. */
      readonly term: number;
      readonly meta: SnapshotMeta;
      /** Of the whole file. */
      readonly bytes: number;
      /** 32 bytes. */
      readonly sha256: Uint8Array;
    }
  /** All before `offset` is safe on the receiver's disk: also the acknowledgement; the first resumes. */
  | { readonly kind: "want"; readonly stream: number; readonly offset: number }
  /** At most SNAPSHOT_CHUNK_BYTES_MAX. */
  | {
      readonly kind: "chunk";
      readonly stream: number;
      readonly offset: number;
      readonly data: Uint8Array;
    }
  | {
      readonly kind: "end";
      readonly stream: number;
      readonly delivered: boolean;
      readonly reason: string;
    };

const SHA256_BYTES = 32;

const SNAPSHOT_MESSAGE: FrameFormat = {
  what: "a part of a snapshot",
  bytesMax: SNAPSHOT_MESSAGE_BYTES_MAX,
  version: SNAPSHOT_STREAM_VERSION,
};

export function encodeSnapshotMessage(message: SnapshotStreamMessage): Uint8Array {
  const to = new ByteWriter(sizeOf(message));
  to.byte(SNAPSHOT_STREAM_VERSION);
  to.byte(snapshotKinds.indexOf(message.kind));
  to.uint(message.stream);
  switch (message.kind) {
    case "offer":
      assert(message.sha256.length === SHA256_BYTES, "A SHA-256 has 32 bytes");
      to.uint(message.term);
      to.uint(message.meta.index);
      to.uint(message.meta.term);
      writeConfState(to, message.meta.confState);
      to.uint(message.bytes);
      to.place(SHA256_BYTES).set(message.sha256);
      break;
    case "want":
      to.uint(message.offset);
      break;
    case "chunk":
      assert(message.data.length <= SNAPSHOT_CHUNK_BYTES_MAX, "A chunk is over its bound");
      to.uint(message.offset);
      to.blob(message.data);
      break;
    case "end":
      to.bool(message.delivered);
      to.text(message.reason);
      break;
    default:
      return assertNever(message);
  }
  return to.finish();
}

/**
 * Bytes of the answer are views of `bytes`. Errors: `corrupt` for anything malformed, `unimplemented`
 * for a newer version.
 */
export function decodeSnapshotMessage(bytes: Uint8Array): SnapshotStreamMessage {
  return decodeFrame(bytes, SNAPSHOT_MESSAGE, readMessage);
}

function readMessage(from: ByteReader): SnapshotStreamMessage {
  const kind = from.word(snapshotKinds);
  const stream = from.uint();
  switch (kind) {
    case "offer":
      return {
        kind,
        stream,
        term: from.uint(),
        meta: { index: from.uint(), term: from.uint(), confState: readConfState(from) },
        bytes: from.uint(),
        sha256: from.bytes(SHA256_BYTES),
      };
    case "want":
      return { kind, stream, offset: from.uint() };
    case "chunk": {
      const offset = from.uint();
      const data = from.blob();
      if (data.length > SNAPSHOT_CHUNK_BYTES_MAX) {
        throw from.malformed(`a chunk has more than ${SNAPSHOT_CHUNK_BYTES_MAX} bytes`);
      }
      return { kind, stream, offset, data };
    }
    case "end":
      return { kind, stream, delivered: from.bool(), reason: from.text() };
    default:
      return assertNever(kind);
  }
}

function sizeOf(message: SnapshotStreamMessage): number {
  if (message.kind === "chunk") return 32 + message.data.length;
  if (message.kind === "offer") return 96 + confStateBytes(message.meta.confState);
  return 64;
}
