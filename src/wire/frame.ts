import { ByteReader } from "./byte-reader.ts";

/** A format whose values stand alone: a version byte, then one value and nothing behind it. */
export interface FrameFormat {
  /** What a frame is, for the text of errors. */
  readonly what: string;
  readonly bytesMax: number;
  /** The newest version that this build reads. */
  readonly version: number;
}

/** Errors: `corrupt` for anything malformed, `unimplemented` for a newer version. */
export function decodeFrame<T>(
  bytes: Uint8Array,
  format: FrameFormat,
  read: (from: ByteReader) => T,
): T {
  const from = new ByteReader(bytes, format.what);
  if (bytes.length > format.bytesMax) {
    throw from.malformed(`it is longer than the limit of ${format.bytesMax} bytes`);
  }
  from.version(format.version);
  const value = read(from);
  from.end();
  return value;
}
