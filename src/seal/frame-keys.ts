import { createCipheriv, createDecipheriv } from "node:crypto";
import { assert } from "../stdx/mod.ts";
import { deriveBytes, lengthPrefixed } from "./key-material.ts";
import type { RootKeyProvider } from "./root-key-provider.ts";
import { KEY_BYTES, TAG_BYTES } from "./xchacha.ts";

/**
 * Keys of the frames between members. All members have the root key provider's key, and one who
 * joins has nothing else yet, so the transport key is derived from that and from the cluster, and no
 * record of the log holds it:
 *
 *     provider's key --HKDF(cluster)--> transport key --HKDF(group, from, to, both lives)--> frame key
 *
 * A frame key serves one direction between two lives; its nonce is the frame's counter, which only
 * goes up. Lives are drawn at random at each start, so a frame key never comes back and no nonce is
 * used twice.
 */

const CIPHER = "chacha20-poly1305";
const OPTIONS = { authTagLength: TAG_BYTES } as const;
const NONCE_BYTES = 12;
const UINT32 = 2 ** 32;

export interface FrameCryptoOptions {
  readonly provider: RootKeyProvider;
  /** The cluster id in 16 hex digits. */
  readonly cluster: string;
  /** The Raft group: "g0". */
  readonly group: string;
}

export interface FrameKeys {
  readonly tagBytes: number;
  /** The key of frames that `from` seals for `to`, in these lives of both. */
  derive(scope: {
    readonly from: string;
    readonly to: string;
    readonly fromLife: Uint8Array;
    readonly toLife: Uint8Array;
  }): FrameKey;
  /** Wipes the transport key; keys already derived stay. */
  close(): void;
}

/** Asks the provider. Rejects with `sealed`, naming the cause. */
export async function createFrameCrypto(options: FrameCryptoOptions): Promise<FrameKeys> {
  const context = lengthPrefixed(["coffer transport key v1", options.cluster].map(textBytes));
  const { key: transportKey } = await options.provider.derive(context);
  assert(transportKey.length === KEY_BYTES, "Transport key is not 32 bytes");
  const group = textBytes(options.group);
  let closed = false;
  return {
    tagBytes: TAG_BYTES,
    derive: ({ from, to, fromLife, toLife }) => {
      assert(!closed, "Frame keys were closed");
      const names = ["coffer frame key v1", from, to].map(textBytes);
      return new FrameKey(deriveBytes(transportKey, [...names, group, fromLife, toLife]));
    },
    close: () => {
      closed = true;
      transportKey.fill(0);
    },
  };
}

/** ChaCha20-Poly1305 (RFC 8439) under one key, with a counter as nonce. */
export class FrameKey {
  readonly #key: Uint8Array;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  #lastSealed = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /**
   * Seals `plaintext` into `out`, and the tag behind it. The counter must be above the last one: a
   * nonce that serves twice gives away both frames.
   */
  seal(counter: number, aad: Uint8Array, plaintext: Uint8Array, out: Uint8Array): void {
    assert(out.length === plaintext.length + TAG_BYTES, "Sealed frame has the wrong size");
    assert(Number.isSafeInteger(counter) && counter > this.#lastSealed, "Frame counter went back");
    this.#lastSealed = counter;
    const cipher = createCipheriv(CIPHER, this.#key, this.#setNonce(counter), OPTIONS);
    cipher.setAAD(aad, { plaintextLength: plaintext.length });
    out.set(cipher.update(plaintext));
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
  }

  /** The plaintext of `sealed`, or `undefined` if it was not sealed with this. */
  open(counter: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const tagAt = sealed.length - TAG_BYTES;
    if (tagAt < 0) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#key, this.#setNonce(counter), OPTIONS);
    decipher.setAAD(aad, { plaintextLength: tagAt });
    decipher.setAuthTag(sealed.subarray(tagAt));
    const plaintext = decipher.update(sealed.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      plaintext.fill(0); // Not authenticated: nobody may see it.
      return undefined;
    }
    return plaintext;
  }

  close(): void {
    this.#key.fill(0);
  }

  #setNonce(counter: number): Buffer {
    this.#nonce.writeUInt32BE(Math.floor(counter / UINT32), 4);
    this.#nonce.writeUInt32BE(counter % UINT32, 8);
    return this.#nonce;
  }
}

function textBytes(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}
