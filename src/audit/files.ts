import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Names and lines of the files of one chain. */

/** `audit-<first seq>.<nth try>.jsonl`: name order is chain order. */
const FILE_NAME = /^audit-(\d{16})\.(\d{3})\.jsonl$/;

export interface AuditFile {
  readonly path: string;
  readonly name: string;
  /** The sequence number of its first record. */
  readonly firstSeq: number;
}

export function auditFileName(firstSeq: number, attempt: number): string {
  return `audit-${String(firstSeq).padStart(16, "0")}.${String(attempt).padStart(3, "0")}.jsonl`;
}

/** The files in chain order. */
export async function listAuditFiles(folder: string): Promise<readonly AuditFile[]> {
  const names = (await readdir(folder)).filter((name) => FILE_NAME.test(name)).sort();
  return names.map((name) => ({
    name,
    path: join(folder, name),
    firstSeq: Number(FILE_NAME.exec(name)?.[1]),
  }));
}

const CHUNK_BYTES = 256 * 1024;
/** Longer than any line that is ever written: every field is cut. */
const LINE_BYTES_MAX = 256 * 1024;

/** A part of a file: whole lines without their feeds, or what stands after the last feed. */
export interface LinePart {
  readonly text: string;
  /** False for the rest after the last line feed, and for a line that is too long. */
  readonly whole: boolean;
}

/** The lines of a file from the start, some at a time, so that the event loop is not held. */
export async function* linesOf(path: string): AsyncGenerator<readonly LinePart[]> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let rest = "";
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      // Lines are ASCII; latin1 keeps foreign bytes apart, so that a hash over them cannot match.
      const lines = (rest + buffer.toString("latin1", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > LINE_BYTES_MAX) {
        yield [...whole(lines), { text: "", whole: false }];
        return;
      }
      yield whole(lines);
    }
    if (rest !== "") yield [{ text: rest, whole: false }];
  } finally {
    await file.close();
  }
}

function whole(lines: readonly string[]): readonly LinePart[] {
  return lines.map((text) => ({ text, whole: true }));
}

/** The whole lines of a file from its end backwards, some at a time, each batch in reverse order. */
export async function* linesBackwards(path: string): AsyncGenerator<readonly string[]> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let at = (await file.stat()).size;
    let rest: string | undefined;
    while (at > 0) {
      const length = Math.min(CHUNK_BYTES, at);
      at -= length;
      const { bytesRead } = await file.read(buffer, 0, length, at);
      const text = buffer.toString("latin1", 0, bytesRead) + (rest ?? "");
      const lines = text.split("\n");
      // After the last feed stands nothing, or a partial line, which is no line.
      if (rest === undefined) lines.pop();
      // A chunk without any feed leaves `rest` undefined: the partial line goes on before it.
      rest = at > 0 ? lines.shift() : "";
      yield lines.toReversed();
    }
  } finally {
    await file.close();
  }
}

/** The whole lines of all files, from the newest back. */
export async function* linesNewestFirst(folder: string): AsyncGenerator<string> {
  for (const file of (await listAuditFiles(folder)).toReversed()) {
    for await (const lines of linesBackwards(file.path)) yield* lines;
  }
}

/** The length of the whole lines of a file of `bytes` bytes. */
export async function lastLineEnd(path: string, bytes: number): Promise<number> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let at = bytes;
    while (at > 0) {
      const length = Math.min(CHUNK_BYTES, at);
      at -= length;
      const { bytesRead } = await file.read(buffer, 0, length, at);
      const feed = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
      if (feed >= 0) return at + feed + 1;
    }
    return 0;
  } finally {
    await file.close();
  }
}
