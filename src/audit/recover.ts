import { CofferError } from "../errors.ts";
import { type AuditFile, lastLineEnd, linesBackwards, listAuditFiles } from "./files.ts";
import type { AuditFilePort } from "./file-port.ts";
import { readHeads } from "./heads-file.ts";
import { type ChainHead, GENESIS, type LineReading, isEarlyLine, readLine } from "./record.ts";

/** Where the chains go on after a start. */
export interface Recovered {
  readonly head: ChainHead;
  readonly tenants: ReadonlyMap<string, ChainHead>;
  /** The file to append to; undefined: a new one must be made. */
  readonly file: { readonly path: string; readonly bytes: number } | undefined;
  /** Bytes of a partial last line that were cut off: a crash in the middle of a write. */
  readonly droppedBytes: number;
  /** The file whose end is not as we wrote it. It is left for `verifyAudit` to name. */
  readonly damaged: string | undefined;
  /** Why all files were read for the heads of the tenants; undefined: they were not. */
  readonly scanned: string | undefined;
}

/**
 * Finds the ends of the chains. A partial last line is cut off: it was never acknowledged, for a record
 * is acknowledged only once all of it is written. Anything else that is wrong is left as it is.
 */
export async function recoverChain(folder: string, files: AuditFilePort): Promise<Recovered> {
  const all = await listAuditFiles(folder);
  const last = all.at(-1);
  const size = last === undefined ? 0 : (files.stat(last.path)?.bytes ?? 0);
  const bytes = last === undefined ? 0 : await lastLineEnd(last.path, size);
  const droppedBytes = size - bytes;
  if (last !== undefined && droppedBytes > 0) cut(files, last.path, bytes);
  const saved = await readHeads(folder);
  const heads = new ChainEnds(typeof saved === "string" ? undefined : saved.at);
  let damaged = await readBack(all, heads);
  const scanned = whyScanned(heads, saved);
  const isFresh = last !== undefined && heads.head === undefined && bytes === 0 && all.length === 1;
  if (last !== undefined && heads.head === undefined && !isFresh) damaged ??= last.path;
  const usable = last !== undefined && damaged === undefined;
  return {
    head: heads.head ?? GENESIS,
    tenants:
      scanned === undefined && typeof saved !== "string"
        ? new Map([...saved.tenants, ...heads.tenants])
        : heads.tenants,
    file: usable ? { path: last.path, bytes } : undefined,
    droppedBytes,
    damaged,
    scanned: heads.head === undefined ? undefined : scanned,
  };
}

function whyScanned(
  heads: ChainEnds,
  saved: Awaited<ReturnType<typeof readHeads>>,
): string | undefined {
  if (typeof saved === "string") return saved;
  return heads.reached ? undefined : "the file of heads is not of this log";
}

/** The newest of each chain, told records from the last one backwards. */
class ChainEnds {
  readonly #until: ChainHead | undefined;
  readonly tenants = new Map<string, ChainHead>();
  head: ChainHead | undefined;
  /** Whether the record was found that the saved heads are as of, or the gap where it was. */
  reached: boolean;
  #isDecided = false;

  constructor(until: ChainHead | undefined) {
    this.#until = until;
    this.reached = until?.seq === 0;
  }

  /** Answers whether that was enough. */
  add({ member, tenant, ofTenant }: Extract<LineReading, { ok: true }>): boolean {
    if (member === undefined) return false;
    this.head ??= { seq: member.seq, hash: member.hash };
    const until = this.#until;
    if (until !== undefined && !this.#isDecided && member.seq <= until.seq) {
      this.#isDecided = true;
      // A file that was lost may have held that record: the heads that are as of it still hold.
      const isLost = member.seq < until.seq && this.head.seq > until.seq;
      this.reached = isLost || (member.seq === until.seq && member.hash === until.hash);
      if (this.reached) return true;
    }
    if (!this.tenants.has(tenant)) this.tenants.set(tenant, ofTenant);
    return false;
  }
}

/** Hands lines to `ends` until it has enough; the file whose end is no record of ours. */
async function readBack(files: readonly AuditFile[], ends: ChainEnds): Promise<string | undefined> {
  let damaged: string | undefined;
  for (const file of files.toReversed()) {
    for await (const lines of linesBackwards(file.path)) {
      for (const line of lines) {
        const reading = readLine(line);
        if (reading.ok) {
          if (ends.add(reading)) return damaged;
        } else if (ends.head === undefined) {
          if (isEarlyLine(line)) throw earlyLog(file);
          damaged ??= file.path;
        }
      }
    }
  }
  return damaged;
}

function earlyLog({ path }: AuditFile): CofferError {
  return new CofferError(
    "unimplemented",
    `${path} was written by an earlier build of Coffer, in another form; move the folder away to ` +
      "begin a new audit log, or run the build that wrote it",
  );
}

function cut(files: AuditFilePort, path: string, bytes: number): void {
  const fd = files.open(path);
  try {
    files.truncate(fd, bytes);
  } finally {
    files.close(fd);
  }
}
