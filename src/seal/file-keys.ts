import { createHmac, createSecretKey } from "node:crypto";
import { assert } from "../stdx/mod.ts";
import { deriveBytes, lengthPrefixed } from "./key-material.ts";
import type { RootKeyProvider } from "./root-key-provider.ts";
import { KEY_BYTES } from "./xchacha.ts";

/**
 * Keys that authenticate a member's own files. Who writes the disk and has no root key can make no tag,
 * so what such a one changes is noticed when the file is opened. The file key is derived as the transport
 * key is, and for the same reason: a file is opened before there is a log to hold a key.
 *
 *     provider's key --HKDF(cluster)--> file key --HKDF(file, owner)--> key of one file's tags
 */

export interface FileKeysOptions {
  readonly provider: RootKeyProvider;
  /** The cluster id in 16 hex digits. */
  readonly cluster: string;
}

/** HMAC-SHA-256 (RFC 2104) under the key of one file. */
export interface FileMac {
  /** Names the provider's key: "key-file:0f1e2d3c4b5a6978". */
  readonly keyId: string;
  /** 32 bytes. The parts count as one after the other, so they say themselves where they end. */
  tag(...parts: readonly Uint8Array[]): Uint8Array;
}

export interface FileKeys {
  /** `owner`: the member whose file it is; "" if members give it to each other. */
  mac(file: string, owner: string): FileMac;
  /** Wipes the file key; what was already derived stays. */
  close(): void;
}

/** Asks the provider. Rejects with `sealed`, naming the cause. */
export async function createFileKeys({ provider, cluster }: FileKeysOptions): Promise<FileKeys> {
  const context = lengthPrefixed(["coffer file key v1", cluster].map(textBytes));
  const { keyId, key: fileKey } = await provider.derive(context);
  assert(fileKey.length === KEY_BYTES, "File key is not 32 bytes");
  let closed = false;
  return {
    mac(file, owner) {
      assert(!closed, "File keys were closed");
      const names = ["coffer file mac v1", file, owner].map(textBytes);
      const bytes = deriveBytes(fileKey, names);
      const key = createSecretKey(bytes);
      bytes.fill(0);
      return {
        keyId,
        tag(...parts) {
          const hmac = createHmac("sha256", key);
          for (const part of parts) hmac.update(part);
          return hmac.digest();
        },
      };
    },
    close() {
      closed = true;
      fileKey.fill(0);
    },
  };
}

function textBytes(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}
