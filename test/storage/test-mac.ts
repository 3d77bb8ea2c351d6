import { createHmac } from "node:crypto";
import type { FileMac } from "../../src/storage/mod.ts";

/** What the files of tests are authenticated with, where no root key is at hand. */
export const TEST_MAC: FileMac = macOf("test");

/** Another one for each name: as of another member, cluster or root key. */
export function macOf(name: string, keyId: string = "key-file:test"): FileMac {
  return {
    keyId,
    tag: (...parts) => {
      const hmac = createHmac("sha256", name);
      for (const part of parts) hmac.update(part);
      return hmac.digest();
    },
  };
}
