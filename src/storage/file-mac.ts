import { timingSafeEqual } from "node:crypto";
import { CofferError } from "../errors.ts";

/**
 * What a member's files are authenticated with, so that one that was changed by somebody without the
 * cluster's root key is refused when it is opened. This room is given the tags and never their key.
 */
export interface FileMac {
  /** Names the key that the root key provider has. */
  readonly keyId: string;
  /** 32 bytes over the parts, one after the other. */
  tag(...parts: readonly Uint8Array[]): Uint8Array;
}

export const TAG_BYTES = 32;

/** First byte of what a tag is made over, so that none serves for another purpose. */
export const tagged: Readonly<Record<"entry" | "record" | "row" | "state", Uint8Array>> = {
  entry: Uint8Array.of(1),
  record: Uint8Array.of(2),
  row: Uint8Array.of(3),
  state: Uint8Array.of(4),
};

export function isTag(wanted: Uint8Array, found: unknown): boolean {
  return (
    found instanceof Uint8Array && found.length === wanted.length && timingSafeEqual(found, wanted)
  );
}

const CHANGED_NEXT_STEP =
  "put the file back from a backup that you trust, or remove this member and add it anew";

/** The error of a file that somebody without the root key has written. */
export function changedError(path: string, what: string): CofferError {
  return new CofferError(
    "corrupt",
    `${what} of "${path}" were changed by something that does not have the cluster's root key; ` +
      CHANGED_NEXT_STEP,
  );
}
