import type { Io } from "./io.ts";
import { mistake } from "./keys.ts";

/** The bytes of a file that the user named. Throws `invalid-argument` if it cannot be read. */
export function inputFile(io: Io, path: string): Uint8Array {
  try {
    return io.readFile(path);
  } catch (error) {
    throw mistake(`${path}: cannot be read: ${error instanceof Error ? error.message : "unknown"}`);
  }
}
