import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { CofferError } from "../errors.ts";

/** Debian puts servers in sbin, which is not on the PATH of an ordinary user. */
const SBIN = ["/usr/local/sbin", "/usr/sbin"];

/** Where programs are looked for, `path` being the PATH of the environment. */
export function programFolders(path: string): readonly string[] {
  return [...path.split(delimiter).filter((folder) => folder !== ""), ...SBIN];
}

/** The path of nats-server. Throws `invalid-argument` that says how to install it. */
export function findNatsServer(folders: readonly string[]): string {
  const found = folders.map((folder) => join(folder, "nats-server")).find(isExecutable);
  if (found !== undefined) return found;
  throw new CofferError(
    "invalid-argument",
    "three members talk over NATS, and nats-server is not on PATH; install it (Debian and Ubuntu: " +
      "apt install nats-server; macOS: brew install nats-server; others: " +
      "https://github.com/nats-io/nats-server/releases), or run one member: coffer dev",
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
