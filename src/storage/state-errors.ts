import { dirname } from "node:path";
import { CofferError } from "../errors.ts";

/** Runs work on the database at `path` and turns what SQLite throws into a CofferError. */
export function withStateErrors<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (failure) {
    throw stateError(path, failure);
  }
}

/**
 * The CofferError of a failure on the database at `path`; anything that is no failure of the medium
 * is returned as it is.
 */
export function stateError(path: string, failure: unknown): unknown {
  const code = codeOf(failure);
  if (code === undefined) return failure;
  const options = { cause: failure };
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") {
    return new CofferError(
      "no-space",
      `no room is left on the volume of "${dirname(path)}", free some or grow it`,
      options,
    );
  }
  if (code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT")) {
    return new CofferError(
      "corrupt",
      `"${path}" is damaged or not a database, restore it from a snapshot or another member`,
      options,
    );
  }
  if (isDenied(code)) {
    return new CofferError(
      "storage-failed",
      `no permission for "${path}", let the user who runs coffer own its folder`,
      options,
    );
  }
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) {
    return new CofferError(
      "storage-failed",
      `"${path}" is locked by another process, stop the other member that uses this data folder`,
      options,
    );
  }
  if (!code.startsWith("SQLITE_") && !code.startsWith("E")) return failure;
  return new CofferError("storage-failed", `"${path}" failed with ${code}, see the log`, options);
}

function isDenied(code: string): boolean {
  return (
    code === "EACCES" ||
    code === "EPERM" ||
    code === "EROFS" ||
    code.startsWith("SQLITE_READONLY") ||
    code.startsWith("SQLITE_CANTOPEN") ||
    code === "SQLITE_PERM"
  );
}

function codeOf(failure: unknown): string | undefined {
  if (!(failure instanceof Error) || failure instanceof CofferError) return undefined;
  const { code } = failure as { readonly code?: unknown };
  return typeof code === "string" ? code : undefined;
}
