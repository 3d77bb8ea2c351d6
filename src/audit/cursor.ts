import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { CofferError } from "../errors.ts";
import type { LogPosition } from "./log-reader.ts";

/**
 * Positions as text for callers. They are sealed, since a place in a file tells how much all tenants
 * together have written; and for one asker, so that nobody is helped by another's.
 */
export interface Cursors {
  /** "" for no position. */
  seal(position: LogPosition | undefined, asker: string): string;
  /** Throws `invalid-argument` for one that this process did not make for the asker. */
  open(cursor: string, asker: string): LogPosition | undefined;
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** All positions are as long. */
const TEXT_BYTES = 64;

/** The key lives as long as the process, and a position is of use no longer than the files. */
export function createCursors(): Cursors {
  const key = randomBytes(32);
  return {
    seal(position, asker) {
      if (position === undefined) return "";
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(asker, "latin1"));
      const text = `${position.offset} ${position.file}`.padEnd(TEXT_BYTES);
      const sealed = Buffer.concat([nonce, cipher.update(text, "latin1"), cipher.final()]);
      return Buffer.concat([sealed, cipher.getAuthTag()]).toString("base64url");
    },
    open(cursor, asker) {
      if (cursor === "") return undefined;
      const bytes = Buffer.from(cursor, "base64url");
      try {
        const end = bytes.length - TAG_BYTES;
        const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES));
        decipher.setAAD(Buffer.from(asker, "latin1")).setAuthTag(bytes.subarray(end));
        const text = decipher.update(bytes.subarray(NONCE_BYTES, end), undefined, "latin1");
        const [offset, file = ""] = (text + decipher.final("latin1")).trimEnd().split(" ");
        return { offset: Number(offset), file };
      } catch {
        throw new CofferError(
          "invalid-argument",
          "the cursor is not of this member since its start; search from the beginning",
        );
      }
    },
  };
}
