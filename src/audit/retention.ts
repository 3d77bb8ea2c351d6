import { stat, unlink } from "node:fs/promises";
import { type AuditFile, linesBackwards, listAuditFiles } from "./files.ts";
import { nodeFiles } from "./file-port.ts";
import { type ChainHead, readLine } from "./record.ts";

/** How much of the log is kept; undefined: all. Whole files only, and never the one that grows. */
export interface RetentionRule {
  /** Since the last record of a file was written. Milliseconds. */
  readonly ageMs: number | undefined;
  /** Of all files together. */
  readonly bytes: number | undefined;
}

/** The oldest file, and where the chains are at its end. */
export interface RemovalPlan {
  readonly file: AuditFile;
  readonly end: ChainHead;
  readonly tenants: readonly (readonly [string, ChainHead])[];
}

/**
 * The oldest file, if the rule lets it go, all of it is `covered` by a committed checkpoint, and none of
 * `needed` (names of files that sinks still read) is it or before it.
 */
export async function planRemoval(
  folder: string,
  rule: RetentionRule,
  state: {
    readonly now: number;
    readonly covered: number;
    readonly needed: readonly (string | undefined)[];
  },
): Promise<RemovalPlan | undefined> {
  const files = await listAuditFiles(folder);
  const [oldest, next] = files;
  if (oldest === undefined || next === undefined) return undefined;
  if (!(await mayGo(files, oldest, rule, state.now))) return undefined;
  if (next.firstSeq - 1 > state.covered) return undefined;
  if (state.needed.some((name) => name === undefined || name <= oldest.name)) return undefined;
  const ends = await endsOf(oldest);
  // A file without any record of ours is evidence, not history.
  return ends === undefined ? undefined : { file: oldest, ...ends };
}

async function mayGo(
  files: readonly AuditFile[],
  oldest: AuditFile,
  { ageMs, bytes }: RetentionRule,
  now: number,
): Promise<boolean> {
  const { mtimeMs } = await stat(oldest.path);
  if (ageMs !== undefined && now - mtimeMs > ageMs) return true;
  if (bytes === undefined) return false;
  let total = 0;
  for (const { path } of files) total += (await stat(path)).size;
  return total > bytes;
}

/** The last of each chain in a file, read from its end. */
async function endsOf(file: AuditFile): Promise<Omit<RemovalPlan, "file"> | undefined> {
  const tenants = new Map<string, ChainHead>();
  let end: ChainHead | undefined;
  for await (const lines of linesBackwards(file.path)) {
    for (const line of lines) {
      const reading = readLine(line);
      if (!reading.ok || reading.member === undefined) continue;
      const { member, tenant, ofTenant } = reading;
      end ??= { seq: member.seq, hash: member.hash };
      if (!tenants.has(tenant)) tenants.set(tenant, ofTenant);
    }
  }
  return end === undefined ? undefined : { end, tenants: [...tenants] };
}

export async function removeFile(folder: string, file: AuditFile): Promise<void> {
  await unlink(file.path);
  nodeFiles.syncFolder(folder);
}
