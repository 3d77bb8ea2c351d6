import { lastLineEnd, linesBackwards, listAuditFiles } from "./files.ts";
import type { AuditFilePort } from "./file-port.ts";
import { type ChainHead, GENESIS, readLine } from "./record.ts";

/** Where a chain goes on after a start. */
export interface Recovered {
  readonly head: ChainHead;
  /** The file to append to; undefined: a new one must be made. */
  readonly file: { readonly path: string; readonly bytes: number } | undefined;
  /** Bytes of a partial last line that were cut off: a crash in the middle of a write. */
  readonly droppedBytes: number;
  /** The file whose end is not as we wrote it. It is left for `verifyAudit` to name. */
  readonly damaged: string | undefined;
}

/**
 * Finds the end of the chain. A partial last line is cut off: it was never acknowledged, for a
 * record is acknowledged only once all of it is written. Anything else that is wrong is left as it
 * is.
 */
export async function recoverChain(folder: string, files: AuditFilePort): Promise<Recovered> {
  const all = await listAuditFiles(folder);
  const last = all.at(-1);
  if (last === undefined) {
    return { head: GENESIS, file: undefined, droppedBytes: 0, damaged: undefined };
  }
  const size = files.stat(last.path)?.bytes ?? 0;
  const bytes = await lastLineEnd(last.path, size);
  const droppedBytes = size - bytes;
  if (droppedBytes > 0) cut(files, last.path, bytes);
  let damaged: string | undefined;
  for (const file of all.toReversed()) {
    const length = file === last ? bytes : (files.stat(file.path)?.bytes ?? 0);
    const end = await lastGoodLine(file.path, length);
    if (end.skipped) damaged ??= file.path;
    if (end.head === undefined) continue;
    const isLast = file === last || (bytes === 0 && damaged === undefined);
    const usable = damaged === undefined && isLast;
    return {
      head: end.head,
      file: usable ? { path: last.path, bytes } : undefined,
      droppedBytes,
      damaged,
    };
  }
  const fresh = bytes === 0 && all.length === 1;
  return {
    head: GENESIS,
    file: fresh ? { path: last.path, bytes } : undefined,
    droppedBytes,
    damaged: damaged ?? (fresh ? undefined : last.path),
  };
}

async function lastGoodLine(
  path: string,
  bytes: number,
): Promise<{ readonly head: ChainHead | undefined; readonly skipped: boolean }> {
  let skipped = false;
  for await (const lines of linesBackwards(path, bytes)) {
    for (const line of lines) {
      const reading = readLine(line);
      if (reading.ok) return { head: reading.head, skipped };
      skipped = true;
    }
  }
  return { head: undefined, skipped };
}

function cut(files: AuditFilePort, path: string, bytes: number): void {
  const fd = files.open(path);
  try {
    files.truncate(fd, bytes);
  } finally {
    files.close(fd);
  }
}
