import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** The files of folders in which a member may be at work. */

export interface StoredFile {
  readonly path: string;
  readonly content: Buffer;
}

export function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Each file with what it holds, without those that are gone by the time they are read. */
export function* readFilesBelow(folder: string): Generator<StoredFile> {
  for (const path of filesBelow(folder)) {
    const content = readIfThere(path);
    if (content !== undefined) yield { path, content };
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
