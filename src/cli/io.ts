import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { Environment } from "../config/mod.ts";

/** The world as a command sees it; tests hand in their own. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly env: Environment;
  /** Whether stderr is a terminal that a person looks at. */
  readonly isTty: boolean;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
  /** The bytes of a file. Throws if it cannot be read. */
  readonly readFile: (path: string) => Uint8Array;
}

/** Writes to stdout and waits while the reader is slow, so that a pipe bounds memory. */
export async function write(io: Io, data: string | Uint8Array): Promise<void> {
  if (!io.stdout.write(data)) await once(io.stdout, "drain", { signal: io.signal });
}

/** Whether a person sees what is written to stdout, so that it must not steer the terminal. */
export function isShown({ stdout }: Io): boolean {
  return "isTTY" in stdout && stdout.isTTY === true;
}

/** Whether whoever read our output has gone. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

/** All of stdin, byte for byte. */
export async function readStdin(io: Io): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of io.stdin) {
    chunks.push(typeof chunk === "string" ? Buffer.from(chunk, "utf8") : (chunk as Uint8Array));
  }
  return Buffer.concat(chunks);
}

/** The text of a file. Throws if it cannot be read. */
export function textFile(io: Io, path: string): string {
  return Buffer.from(io.readFile(path)).toString("utf8");
}

const PROGRESS_AFTER_MS = 700;
const PROGRESS_EVERY_MS = 500;

/** Shows on a terminal that `label` is still going on, once it takes longer than a moment. */
export async function withProgress<T>(io: Io, label: string, work: Promise<T>): Promise<T> {
  if (!io.isTty) return await work;
  const started = performance.now();
  let shown = false;
  const show = (): void => {
    const seconds = (performance.now() - started) / 1000;
    if (seconds * 1000 < PROGRESS_AFTER_MS) return;
    shown = true;
    io.stderr.write(`\r${label} ... ${seconds.toFixed(0)} s`);
  };
  const timer = setInterval(show, PROGRESS_EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (shown) io.stderr.write("\r\u001b[K");
  }
}
