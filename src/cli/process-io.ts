import { readFileSync } from "node:fs";
import type { Io } from "./io.ts";

/** This process as commands see it; `signal` aborts when the user wants to stop. */
export function processIo(signal: AbortSignal): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    isTty: process.stderr.isTTY && process.stdin.isTTY,
    signal,
    readFile: (path) => readFileSync(path),
  };
}
