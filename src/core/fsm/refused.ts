import type { ErrorCode } from "../../errors.ts";
import type { ApplyResult } from "../types/mod.ts";

/** The answer to a command that changed nothing. */
export function refused(code: ErrorCode, detail?: string): ApplyResult {
  return detail === undefined ? { kind: "error", code } : { kind: "error", code, detail };
}
