import assert from "node:assert/strict";
import { CofferError, type ErrorCode } from "../../src/errors.ts";

/** Asserts that `run` throws a CofferError of this code whose message matches. */
export function refused(run: () => unknown, code: ErrorCode, message: RegExp = /./): void {
  assert.throws(run, (error) => isRefusal(error, code, message));
}

/** `refused` for a promise. */
export async function rejected(
  run: () => Promise<unknown>,
  code: ErrorCode,
  message: RegExp = /./,
): Promise<void> {
  await assert.rejects(run, (error) => isRefusal(error, code, message));
}

function isRefusal(error: unknown, code: ErrorCode, message: RegExp): true {
  assert.ok(error instanceof CofferError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
}
