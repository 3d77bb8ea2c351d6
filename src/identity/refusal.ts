import { CofferError } from "../errors.ts";

/**
 * The `invalid-token` error. The client always gets the same text, so that a forger learns nothing;
 * `reason`, its cause, is for the audit log. It names claims and rules, never what a token held.
 */
export function refused(reason: string): CofferError {
  return new CofferError("invalid-token", undefined, { cause: reason });
}

/** Why the credentials were refused; undefined for any other error. */
export function refusalReason(error: unknown): string | undefined {
  if (!(error instanceof CofferError) || typeof error.cause !== "string") return undefined;
  return error.cause;
}
