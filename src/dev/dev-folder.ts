import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CofferError } from "../errors.ts";
import { makeFolders } from "../files/mod.ts";

/** The data folder of `coffer dev` and what lies in it. */
export interface DevFolder {
  readonly path: string;
  readonly pki: string;
  readonly env: string;
  readonly rootKey: string;
  /** Logs of the processes, where they are processes of their own. */
  readonly logs: string;
  /** What the NATS server between several members needs. */
  readonly nats: string;
  readonly members: number;
  /** Sets this cluster apart from every other laptop's. */
  readonly clusterToken: string;
  memberData(name: string): string;
}

const MARK = "dev.json";
const FORM_VERSION = 2;

/**
 * Opens the folder, or makes it for so many members. With `reset` what was in it goes first; without,
 * one that was made for another number is refused.
 */
export function openDevFolder(
  dataDir: string,
  { reset, members }: { readonly reset: boolean; readonly members: number },
): DevFolder {
  const path = resolve(dataDir);
  const mark = join(path, MARK);
  const entries = existsSync(path) ? readdirSync(path) : [];
  const isOurs = entries.includes(MARK);
  if (entries.length > 0 && !isOurs) {
    throw new CofferError(
      "invalid-argument",
      `${path} is not empty and was not made by coffer dev; name an empty or new --data-dir`,
    );
  }
  if (reset && isOurs) {
    for (const entry of entries) rmSync(join(path, entry), { recursive: true, force: true });
  }
  makeFolders(path);
  if (!existsSync(mark)) {
    const clusterToken = randomBytes(16).toString("hex");
    writePrivate(mark, `${JSON.stringify({ version: FORM_VERSION, clusterToken, members })}\n`);
  }
  const found = readMark(mark);
  if (found.members !== members) {
    const held = found.members === 1 ? "one member" : `${found.members} members`;
    throw new CofferError(
      "invalid-argument",
      `${path} holds a cluster of ${held}, not of ${members}; give ` +
        `--members ${found.members}, name another --data-dir, or start afresh with --reset`,
    );
  }
  const pki = join(path, "pki");
  makeFolders(pki);
  return {
    path,
    pki,
    env: join(path, "env"),
    rootKey: join(path, "root.key"),
    logs: join(path, "logs"),
    nats: join(path, "nats"),
    ...found,
    memberData: (name) => join(path, name),
  };
}

/** Writes shell exports, whole or not at all, for the owner alone: a token is among them. */
export function writeEnv(path: string, variables: Readonly<Record<string, string>>): void {
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`);
  writePrivate(path, `${lines.join("\n")}\n`);
}

/** Writes a file for the owner alone, whole or not at all. */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode: 0o600, flag: "wx" });
  renameSync(draft, path);
}

interface Mark {
  readonly clusterToken: string;
  readonly members: number;
}

function readMark(path: string): Mark {
  try {
    const parsed = JSON.parse(readFileSync(path, "utf8")) as Partial<Record<string, unknown>>;
    const { version, clusterToken, members } = parsed;
    const isNewest = version === FORM_VERSION && typeof members === "number";
    if (isNewest && typeof clusterToken === "string") return { clusterToken, members };
  } catch (cause) {
    throw unreadable(path, cause);
  }
  throw unreadable(path, undefined);
}

function unreadable(path: string, cause: unknown): CofferError {
  return new CofferError(
    "invalid-argument",
    `${path} cannot be read by this version; start afresh with --reset, which removes the data`,
    { cause },
  );
}

/** One shell word. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
