import { readFileSync } from "node:fs";
import { type Io, isBrokenPipe } from "./io.ts";

/** This process as commands see it; `signal` aborts when the user wants to stop. */
export function processIo(signal: AbortSignal): Io {
  process.stdout.on("error", (error) => {
    // The reader of a pipe, as head, has seen enough: no failure, and nothing more to do.
    if (!isBrokenPipe(error)) throw error;
    process.exit();
  });
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
