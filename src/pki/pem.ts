import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { CofferError } from "../errors.ts";

/** PEM (RFC 7468) and its files. */
export type PemLabel = "CERTIFICATE" | "X509 CRL";

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;
const PERMISSION_BITS = 0o7777;

export function pemOf(label: PemLabel, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/**
 * Writes `pem` to `path`, whole or not at all, replacing what is there: mode 0600 if it holds a
 * private key, else 0644. Throws `invalid-argument` naming the file and the cause.
 */
export function savePem(path: string, pem: string): void {
  const mode = pem.includes("PRIVATE KEY-----") ? KEY_MODE : CERTIFICATE_MODE;
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  try {
    fs.rmSync(draft, { force: true });
    const fd = fs.openSync(draft, "wx", mode);
    try {
      fs.fchmodSync(fd, mode); // The mode given to open is cut by the umask.
      fs.writeSync(fd, pem);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(draft, path);
    syncFolder(dirname(path));
  } catch (cause) {
    fs.rmSync(draft, { force: true });
    throw fileError(path, "cannot be written", cause);
  }
}

/** The text of a PEM file. Throws `invalid-argument`. */
export function readPem(path: string): string {
  try {
    return fs.readFileSync(path, "utf8");
  } catch (cause) {
    throw fileError(path, "cannot be read", cause);
  }
}

/** `readPem` of a private key; refuses a file that others may read. */
export function readKeyPem(path: string): string {
  let fd: number;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (cause) {
    throw fileError(path, "cannot be read", cause);
  }
  try {
    const mode = fs.fstatSync(fd).mode & PERMISSION_BITS;
    if ((mode & ~KEY_MODE) !== 0) {
      const shown = mode.toString(8).padStart(4, "0");
      const problem = `has mode ${shown}, wider than 0600; run: chmod 600 '${path}'`;
      throw new CofferError("invalid-argument", `key file '${path}' ${problem}`);
    }
    return fs.readFileSync(fd, "utf8");
  } finally {
    fs.closeSync(fd);
  }
}

function syncFolder(path: string): void {
  const fd = fs.openSync(path, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function fileError(path: string, problem: string, cause: unknown): CofferError {
  const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
  return new CofferError("invalid-argument", `file '${path}' ${problem}: ${code}`, { cause });
}
