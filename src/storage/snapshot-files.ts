import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { CofferError } from "../errors.ts";

/** The files that snapshots take in a data folder. */
export interface SnapshotPaths {
  readonly dataDir: string;
  readonly state: string;
  /** Complete and durable; there from an install's point of no return to its end. */
  readonly next: string;
  /** For all that is not in force. */
  readonly folder: string;
  /** The bytes that have come so far, and beside it what they will be. */
  readonly incoming: string;
  readonly incomingNote: string;
}

/** Room that must be left beside a snapshot: the log and the audit log write to the same volume. */
const RESERVE_BYTES_MAX = 64 * 1024 * 1024;
/** And at most this share of a small volume. */
const RESERVE_SHARE = 1 / 16;

export function snapshotPaths(dataDir: string): SnapshotPaths {
  const folder = join(dataDir, "snapshots");
  const incoming = join(folder, "incoming.db");
  return {
    dataDir,
    state: join(dataDir, "state.db"),
    next: join(dataDir, "state.db.next"),
    folder,
    incoming,
    incomingNote: join(folder, "incoming.json"),
  };
}

/** Makes the folder, and removes what an earlier life left but for what it had received. */
export function prepareSnapshotFolder(paths: SnapshotPaths): void {
  mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
  const kept = [paths.incoming, paths.incomingNote];
  for (const name of readdirSync(paths.folder)) {
    const path = join(paths.folder, name);
    if (!kept.includes(path)) rmSync(path, { recursive: true, force: true });
  }
}

/** Makes names that were made, changed or removed in the folder durable. */
export function syncFolder(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Removes a database file and what SQLite keeps beside it. */
export function removeDatabase(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
}

/** The volume of a folder, in bytes. */
export type VolumeOf = (
  folder: string,
) => Promise<{ readonly free: number; readonly total: number }>;

export const volumeOf: VolumeOf = async (folder) => {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, total: blocks * bsize };
};

/** Throws `no-space` unless `bytes` more fit: a volume that runs full would stop the log as well. */
export async function ensureRoom(folder: string, bytes: number, volume: VolumeOf): Promise<void> {
  const { free, total } = await volume(folder);
  const needed = bytes + Math.min(RESERVE_BYTES_MAX, total * RESERVE_SHARE);
  if (free >= needed) return;
  throw new CofferError(
    "no-space",
    `a snapshot needs ${mebibytes(needed)} MiB on the volume of "${folder}", ` +
      `${mebibytes(free)} MiB are free`,
  );
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024));
}
