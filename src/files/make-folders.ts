import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CofferError } from "../errors.ts";

/**
 * As mkdir -p, for the owner alone (mode 0700). Node's own goes round for ever in a file system that
 * takes no folders and answers ENOENT, such as /proc. Throws `invalid-argument`.
 */
export function makeFolders(path: string): void {
  makeFolder(resolve(path));
}

function makeFolder(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    // Another process, such as a member beside this one, may have made it in between.
    if (isFolder(path)) return;
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    const text = `cannot make the folder '${path}' in '${parent}': ${why}; name a writable place`;
    throw new CofferError("invalid-argument", text, { cause });
  }
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}
