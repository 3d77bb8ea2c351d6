import * as fs from "node:fs";
import { dirname } from "node:path";
import { CofferError } from "../errors.ts";
import { deriveBytes, deriveCipherKey, newKeyBytes } from "./key-material.ts";
import type { ProviderBox, RootKeyProvider } from "./root-key-provider.ts";
import { BoxCipher, KEY_BYTES } from "./xchacha.ts";

/**
 * A root key provider whose key is one line of a file: `coffer-root-key-v1 <id> <key>`, both in
 * hex. The id is derived from the key, so a mistyped or mixed-up file shows at once. The file is
 * read for every call and its bytes wiped after it, so the key stays in memory no longer than it is
 * used, and lets itself be replaced while the member runs.
 */

const MAGIC = "coffer-root-key-v1";
const ID_BYTES = 8;
const LINE_BYTES = MAGIC.length + 1 + ID_BYTES * 2 + 1 + KEY_BYTES * 2;
const KEY_AT = LINE_BYTES - KEY_BYTES * 2;
const ID_AT = MAGIC.length + 1;
/** The only permissions it may have. */
const MODE = 0o600;
const PERMISSION_BITS = 0o7777;

/** The provider of the key file at `path`, which need not be there yet. */
export function keyFileProvider(options: { readonly path: string }): RootKeyProvider {
  const { path } = options;
  const cipher = new BoxCipher();
  return {
    description: `key file '${path}'`,
    wrap: (key, context) =>
      withKeyFile(path, (file) => ({
        keyId: `key-file:${file.id}`,
        ciphertext: cipher.seal(file.cipherKey, { aad: context, plaintext: key, headerBytes: 0 }),
      })),
    unwrap: (box, context) => withKeyFile(path, (file) => unwrap(cipher, file, { box, context })),
    derive: (context) =>
      withKeyFile(path, (file) => ({
        keyId: `key-file:${file.id}`,
        key: file.derive(context),
      })),
  };

  function unwrap(
    boxCipher: BoxCipher,
    file: KeyFile,
    input: { readonly box: ProviderBox; readonly context: Uint8Array },
  ): Uint8Array {
    const keyId = `key-file:${file.id}`;
    if (input.box.keyId !== keyId) {
      throw refused(
        path,
        `holds ${keyId}, but the root key is wrapped by ${input.box.keyId}; configure that one`,
      );
    }
    const key = boxCipher.open(file.cipherKey, input.context, input.box.ciphertext);
    if (key !== undefined) return key;
    throw refused(
      path,
      "does not open the root key: the wrapped key was altered or is of another cluster",
    );
  }
}

/**
 * Creates a key file with a fresh key and mode 0600, complete or not at all. Throws
 * `already-exists` rather than replace a file: every value would be lost with the key in it.
 * Answers the key's id.
 */
export function createRootKeyFile(path: string): string {
  const key = newKeyBytes();
  const line = Buffer.allocUnsafeSlow(LINE_BYTES + 1);
  const id = hexOf(idOf(key));
  line.write(`${MAGIC} ${id} `, 0, "latin1");
  writeHex(line, KEY_AT, key);
  line[LINE_BYTES] = 0x0a;
  const draft = `${path}.${process.pid}.new`;
  try {
    const fd = fs.openSync(draft, "wx", MODE);
    try {
      fs.writeSync(fd, line);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    try {
      fs.linkSync(draft, path); // Unlike rename, refuses to replace.
    } finally {
      fs.unlinkSync(draft);
    }
    syncFolder(dirname(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") {
      throw new CofferError("already-exists", `key file '${path}' is kept as it is`, { cause });
    }
    throw new CofferError("invalid-argument", `key file '${path}': ${reasonOf(cause)}`, { cause });
  } finally {
    key.fill(0);
    line.fill(0);
  }
  return id;
}

interface KeyFile {
  readonly id: string;
  readonly cipherKey: Uint32Array;
  readonly derive: (context: Uint8Array) => Uint8Array;
}

/** Runs `use` with the key in the file, then wipes it. */
function withKeyFile<T>(path: string, use: (file: KeyFile) => T): T {
  const key = readKeyFile(path);
  const cipherKey = deriveCipherKey(key, "key file", "wrap");
  try {
    const purpose = Buffer.from("coffer derived from key file v1", "latin1");
    const derive = (context: Uint8Array): Uint8Array => deriveBytes(key, [purpose, context]);
    return use({ id: hexOf(idOf(key)), cipherKey, derive });
  } finally {
    key.fill(0);
    cipherKey.fill(0);
  }
}

function readKeyFile(path: string): Uint8Array {
  let fd: number;
  try {
    // O_NONBLOCK: opening a fifo must not wait for its writer.
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (cause) {
    throw refused(path, `cannot be read: ${reasonOf(cause)}`, cause);
  }
  const text = Buffer.allocUnsafeSlow(LINE_BYTES + 2);
  try {
    // Of the open file, so a symlink's target counts and nobody can swap the file after the check.
    checkFile(path, fs.fstatSync(fd));
    const length = fs.readSync(fd, text, 0, text.length, 0);
    return parseKeyFile(path, text.subarray(0, length));
  } finally {
    fs.closeSync(fd);
    text.fill(0);
  }
}

function checkFile(path: string, stat: fs.Stats): void {
  if (!stat.isFile()) throw refused(path, "is not a regular file; name the file itself");
  const mode = stat.mode & PERMISSION_BITS;
  if ((mode & ~MODE) !== 0) {
    const shown = mode.toString(8).padStart(4, "0");
    throw refused(path, `has mode ${shown}, wider than 0600; run: chmod 600 '${path}'`);
  }
}

function parseKeyFile(path: string, text: Buffer): Uint8Array {
  if (text.length === 0) throw refused(path, "is empty; restore it from its backup");
  const end = text[LINE_BYTES] === 0x0a ? LINE_BYTES + 1 : LINE_BYTES;
  if (text.length !== end) {
    const wanted = `one line of ${LINE_BYTES} characters, '${MAGIC} <id> <key>'`;
    throw refused(path, `has the wrong length; it must be ${wanted}`);
  }
  const key = Buffer.allocUnsafeSlow(KEY_BYTES);
  const shaped =
    text.toString("latin1", 0, MAGIC.length) === MAGIC &&
    text[MAGIC.length] === 0x20 &&
    text[KEY_AT - 1] === 0x20 &&
    readHex(text, KEY_AT, key);
  if (!shaped) throw refused(path, `is not of the form '${MAGIC} <id> <key>', in lower-case hex`);
  const id = hexOf(idOf(key));
  const named = text.toString("latin1", ID_AT, ID_AT + ID_BYTES * 2);
  if (named === id) return key;
  key.fill(0);
  throw refused(path, "names an id that is not its key's; restore it from its backup");
}

function idOf(key: Uint8Array): Uint8Array {
  return deriveBytes(key, [Buffer.from("coffer root key file id v1", "latin1")]).subarray(
    0,
    ID_BYTES,
  );
}

const HEX = Buffer.from("0123456789abcdef", "latin1");

/** Digit by digit, so that the key never becomes a string, which could not be wiped. */
function writeHex(text: Buffer, at: number, bytes: Uint8Array): void {
  bytes.forEach((byte, i) => {
    text[at + i * 2] = HEX[byte >> 4] as number;
    text[at + i * 2 + 1] = HEX[byte & 15] as number;
  });
}

/** Whether all of `into` could be read. */
function readHex(text: Buffer, at: number, into: Uint8Array): boolean {
  let valid = true;
  for (let i = 0; i < into.length; i++) {
    const high = HEX.indexOf(text[at + i * 2] as number);
    const low = HEX.indexOf(text[at + i * 2 + 1] as number);
    valid = valid && high >= 0 && low >= 0;
    into[i] = ((high & 15) << 4) | (low & 15);
  }
  return valid;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function syncFolder(path: string): void {
  const fd = fs.openSync(path, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function reasonOf(cause: unknown): string {
  return (cause as NodeJS.ErrnoException).code ?? "unknown error";
}

function refused(path: string, problem: string, cause?: unknown): CofferError {
  return new CofferError("sealed", `key file '${path}' ${problem}`, { cause });
}
