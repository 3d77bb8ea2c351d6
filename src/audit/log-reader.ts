import { open } from "node:fs/promises";
import type { AuditFile } from "./files.ts";

/** A place between two lines of a log. */
export interface LogPosition {
  /** The name of the file. */
  readonly file: string;
  /** Bytes before it. */
  readonly offset: number;
}

export interface LogLine {
  readonly text: string;
  /** The place to go on from after this line, in the direction that was read in. */
  readonly next: LogPosition;
}

/** Some lines at a place. */
export interface LogSlice {
  readonly lines: readonly LogLine[];
  /** Where the slice begins: in another file than was asked for where that one is gone or read. */
  readonly from: LogPosition | undefined;
  /** Where the next slice begins; undefined: there is no file. */
  readonly next: LogPosition | undefined;
  /** Nothing is left in this direction. */
  readonly isEnd: boolean;
}

const SLICE_BYTES = 256 * 1024;
const NOTHING: LogSlice = { lines: [], from: undefined, next: undefined, isEnd: true };

/** The whole lines after `from`, or from the oldest file's start. */
export async function readNewer(
  files: readonly AuditFile[],
  from: LogPosition | undefined,
): Promise<LogSlice> {
  const i = from === undefined ? 0 : files.findIndex(({ name }) => name >= from.file);
  const file = files[i];
  if (file === undefined) return { ...NOTHING, from, next: from };
  const offset = from?.file === file.name ? from.offset : 0;
  const { text } = await readAt(file.path, offset, SLICE_BYTES);
  const end = text.lastIndexOf("\n") + 1;
  const begin = { file: file.name, offset };
  if (end === 0) {
    // Longer than any line of ours: passed over.
    if (text.length === SLICE_BYTES) {
      const next = { file: file.name, offset: offset + SLICE_BYTES };
      return { lines: [], from: begin, next, isEnd: false };
    }
    const later = files[i + 1];
    if (later === undefined) return { lines: [], from: begin, next: begin, isEnd: true };
    return readNewer(files, { file: later.name, offset: 0 });
  }
  let at = offset;
  const lines = text
    .slice(0, end - 1)
    .split("\n")
    .map((line) => {
      at += line.length + 1;
      return { text: line, next: { file: file.name, offset: at } };
    });
  return { lines, from: begin, next: { file: file.name, offset: offset + end }, isEnd: false };
}

/** The whole lines before `from`, or before the newest file's end; the newest first. */
export async function readOlder(
  files: readonly AuditFile[],
  from: LogPosition | undefined,
): Promise<LogSlice> {
  const i =
    from === undefined ? files.length - 1 : files.findLastIndex(({ name }) => name <= from.file);
  const file = files[i];
  if (file === undefined) return { ...NOTHING, from, next: from };
  const until = from?.file === file.name ? from.offset : undefined;
  const { text, begin } = await readBefore(file.path, until, SLICE_BYTES);
  // What stands before the first feed belongs to a line that begins earlier.
  const first = begin === 0 ? 0 : text.indexOf("\n") + 1;
  const last = text.lastIndexOf("\n") + 1;
  const previous = files[i - 1];
  const atStart: LogPosition =
    previous === undefined
      ? { file: file.name, offset: 0 }
      : { file: previous.name, offset: Number.MAX_SAFE_INTEGER };
  const start = { file: file.name, offset: begin + text.length };
  const isFileRead = begin === 0;
  if (last <= first) {
    const next = isFileRead ? atStart : { file: file.name, offset: begin };
    return { lines: [], from: start, next, isEnd: isFileRead && previous === undefined };
  }
  let at = begin + last;
  const lines = text
    .slice(first, last - 1)
    .split("\n")
    .toReversed()
    .map((line) => {
      at -= line.length + 1;
      return { text: line, next: { file: file.name, offset: at } };
    });
  const next = isFileRead ? atStart : { file: file.name, offset: begin + first };
  return { lines, from: start, next, isEnd: isFileRead && previous === undefined };
}

async function readAt(path: string, offset: number, bytes: number): Promise<{ text: string }> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await file.read(buffer, 0, bytes, offset);
    // Lines are ASCII; latin1 keeps foreign bytes apart, and one char for each.
    return { text: buffer.toString("latin1", 0, bytesRead) };
  } finally {
    await file.close();
  }
}

async function readBefore(
  path: string,
  until: number | undefined,
  bytes: number,
): Promise<{ readonly text: string; readonly begin: number }> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const end = Math.min(until ?? size, size);
    const begin = Math.max(0, end - bytes);
    const buffer = Buffer.allocUnsafe(end - begin);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, begin);
    return { text: buffer.toString("latin1", 0, bytesRead), begin };
  } finally {
    await file.close();
  }
}
