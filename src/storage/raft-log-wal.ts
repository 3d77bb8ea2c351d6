import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * What lies in a write-ahead log behind the last transaction that SQLite will recover. SQLite drops it
 * without a word; an operator should know. Format: https://www.sqlite.org/fileformat2.html#walformat
 */
export interface WalTail {
  /** Bytes that belong to no recovered transaction. 0: nothing will be dropped. */
  readonly bytes: number;
  /**
   * Commits among them. One at most can be a torn last write, as each transaction is on the disk before
   * the next is begun: two or more mean that acknowledged data is damaged.
   */
  readonly commits: number;
}

const HEADER_BYTES = 32;
const FRAME_HEAD_BYTES = 24;

/** Of raft.db, for a file whose own header is damaged. */
const PAGE_BYTES = 4096;

/** SQLite adds one to the first salt each time it begins the file again from the front. */
const GENERATIONS_MAX = 1 << 24;

const NOTHING: WalTail = { bytes: 0, commits: 0 };

/** Inspects the file at `path` as recovery would read it. A missing file has no tail. */
export function inspectWalTail(path: string): WalTail {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return NOTHING;
  }
  try {
    return tailOf(file, fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

function tailOf(file: number, size: number): WalTail {
  if (size < HEADER_BYTES) return { bytes: size, commits: 0 };
  const header = readHeader(readAt(file, 0, HEADER_BYTES));
  if (header === undefined) {
    // The frames tell their own salts; all of them are lost with the header.
    const salts = readAt(file, HEADER_BYTES, FRAME_HEAD_BYTES).subarray(8, 16);
    const tail = countTail(file, { start: HEADER_BYTES, size, pageBytes: PAGE_BYTES, salts });
    return { bytes: HEADER_BYTES + tail.bytes, commits: tail.commits };
  }
  const { pageBytes, salts } = header;
  return countTail(file, { start: recoveredEnd(file, size, header), size, pageBytes, salts });
}

interface WalHeader {
  readonly pageBytes: number;
  readonly salts: Buffer;
  readonly bigEndian: boolean;
  readonly sums: Sums;
}

/** SQLite's running checksum: two sums over pairs of 32-bit words. */
interface Sums {
  a: number;
  b: number;
}

function readHeader(header: Buffer): WalHeader | undefined {
  const magic = header.readUInt32BE(0);
  if (magic !== 0x377f0682 && magic !== 0x377f0683) return undefined;
  const bigEndian = (magic & 1) === 1;
  const sums = { a: 0, b: 0 };
  addWords(sums, header.subarray(0, 24), bigEndian);
  if (!matches(sums, header, 24)) return undefined;
  return { pageBytes: header.readUInt32BE(8), salts: header.subarray(16, 24), bigEndian, sums };
}

/** Where the last commit frame ends up to which all frames hold. */
function recoveredEnd(file: number, size: number, header: WalHeader): number {
  const { pageBytes, salts, bigEndian, sums } = header;
  const frameBytes = FRAME_HEAD_BYTES + pageBytes;
  let end = HEADER_BYTES;
  for (let at = HEADER_BYTES; at + frameBytes <= size; at += frameBytes) {
    const frame = readAt(file, at, frameBytes);
    if (!salts.equals(frame.subarray(8, 16))) break;
    addWords(sums, frame.subarray(0, 8), bigEndian);
    addWords(sums, frame.subarray(FRAME_HEAD_BYTES), bigEndian);
    if (!matches(sums, frame, 16)) break;
    if (isCommit(frame)) end = at + frameBytes;
  }
  return end;
}

interface TailPlace {
  readonly start: number;
  readonly size: number;
  readonly pageBytes: number;
  readonly salts: Buffer;
}

function countTail(file: number, place: TailPlace): WalTail {
  const { start, size, pageBytes, salts } = place;
  const frameBytes = FRAME_HEAD_BYTES + pageBytes;
  let bytes = 0;
  let commits = 0;
  for (let at = start; at < size; at += frameBytes) {
    const head = readAt(file, at, FRAME_HEAD_BYTES);
    const current = head.length === FRAME_HEAD_BYTES && salts.equals(head.subarray(8, 16));
    if (at + frameBytes <= size && !current && isOlder(head, salts)) continue;
    bytes += Math.min(frameBytes, size - at);
    if (current && isCommit(head)) commits++;
  }
  return { bytes, commits };
}

/** A frame of an earlier pass over the file: long since copied into the database. */
function isOlder(head: Buffer, salts: Buffer): boolean {
  const age = (salts.readUInt32BE(0) - head.readUInt32BE(8)) >>> 0;
  return age > 0 && age <= GENERATIONS_MAX;
}

/** The frame that ends a transaction names the size of the database after it. */
function isCommit(head: Buffer): boolean {
  return head.readUInt32BE(4) !== 0;
}

function addWords(sums: Sums, bytes: Buffer, bigEndian: boolean): void {
  let { a, b } = sums;
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const x = bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const y = bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
    a = (a + x + b) >>> 0;
    b = (b + y + a) >>> 0;
  }
  sums.a = a;
  sums.b = b;
}

function matches(sums: Sums, bytes: Buffer, at: number): boolean {
  return sums.a === bytes.readUInt32BE(at) && sums.b === bytes.readUInt32BE(at + 4);
}

function readAt(file: number, at: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  return bytes.subarray(0, readSync(file, bytes, 0, count, at));
}
