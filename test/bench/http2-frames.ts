/**
 * The few pieces of HTTP/2 (RFC 9113) and HPACK (RFC 7541) that a load generator needs: it sends the
 * same header block again and again and only counts what comes back, which costs a tenth of a full
 * client, so that the generator does not become what is measured.
 */

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
} as const;

export const FLAG_END_STREAM = 0x1;
export const FLAG_ACK = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FRAME_HEADER_BYTES = 9;

export function writeFrameHeader(
  target: Buffer,
  at: number,
  frame: { length: number; type: number; flags: number; stream: number },
): number {
  target.writeUIntBE(frame.length, at, 3);
  target[at + 3] = frame.type;
  target[at + 4] = frame.flags;
  target.writeUInt32BE(frame.stream, at + 5);
  return at + FRAME_HEADER_BYTES;
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const out = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  payload.copy(out, writeFrameHeader(out, 0, { length: payload.length, type, flags, stream }));
  return out;
}

const WINDOW_MAX = 2 ** 31 - 1;
const CONNECTION_WINDOW_INITIAL = 65_535;

/** Preface, settings with the widest stream window, and the widest connection window. */
export function clientHello(): Buffer {
  const settings = Buffer.alloc(12);
  settings.writeUInt16BE(0x2, 0); // ENABLE_PUSH
  settings.writeUInt32BE(0, 2);
  settings.writeUInt16BE(0x4, 6); // INITIAL_WINDOW_SIZE
  settings.writeUInt32BE(WINDOW_MAX, 8);
  return Buffer.concat([
    PREFACE,
    frame(frameType.settings, 0, 0, settings),
    windowUpdate(WINDOW_MAX - CONNECTION_WINDOW_INITIAL),
  ]);
}

/** What a SETTINGS frame says of it; undefined: nothing. */
export function maxConcurrentStreams(settings: Buffer): number | undefined {
  for (let at = 0; at + 6 <= settings.length; at += 6) {
    if (settings.readUInt16BE(at) === 0x3) return settings.readUInt32BE(at + 2);
  }
  return undefined;
}

export function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(frameType.windowUpdate, 0, 0, payload);
}

/**
 * The header block of the first request of a connection, which puts every field into the dynamic
 * table, and that of all later ones, which names them by one byte each, as gRPC clients do.
 */
export function headerBlocks(fields: readonly (readonly [string, string])[]): {
  readonly first: Buffer;
  readonly next: Buffer;
} {
  const first: Buffer[] = [];
  for (const [name, value] of fields) {
    first.push(Buffer.from([0x40]), literal(name), literal(value));
  }
  // The newest entry has the lowest index, 62 (RFC 7541 §2.3.3).
  const next = fields.map((_, i) => 0x80 | (62 + fields.length - 1 - i));
  return { first: Buffer.concat(first), next: Buffer.from(next) };
}

/** A field that no table keeps (RFC 7541 §6.2.2). */
export function plainField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), literal(name), literal(value)]);
}

/** A string literal without Huffman coding (RFC 7541 §5.2). */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([prefixedInteger(bytes.length, 7), bytes]);
}

/** RFC 7541 §5.1. */
function prefixedInteger(value: number, bits: number): Buffer {
  const max = 2 ** bits - 1;
  if (value < max) return Buffer.from([value]);
  const out = [max];
  let rest = value - max;
  while (rest >= 128) {
    out.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
  return Buffer.from(out);
}
