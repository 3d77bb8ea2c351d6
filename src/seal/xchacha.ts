import { createCipheriv, createDecipheriv, randomFillSync } from "node:crypto";
import { hchacha } from "@noble/ciphers/chacha.js";
import { assert } from "../stdx/mod.ts";

/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 of key and the nonce's first 16 bytes
 * gives a subkey, from noble; ChaCha20-Poly1305 under it, with four zero bytes and the nonce's last
 * 8 as its nonce, is OpenSSL's. The bytes are those of noble's own xchacha20poly1305, at a fraction
 * of the time.
 *
 * Why a nonce is never used twice: each box draws all 24 bytes from the system's generator, so
 * after n boxes under one key the chance of any equal pair is below n^2 / 2^193: 2^-65 at 2^64
 * boxes. Nothing has to be counted, stored or agreed on between members, and a restart forgets
 * nothing. Computing HChaCha20 for every box costs 0.3 us, so a shared nonce prefix with a cached
 * subkey would save little, and would rest on a counter and keep more key bytes in memory.
 */

export const KEY_BYTES = 32;
export const NONCE_BYTES = 24;
export const TAG_BYTES = 16;

/** A cipher key as HChaCha20 reads it: eight words over its 32 bytes in memory order. */
export type CipherKey = Uint32Array;

const CIPHER = "chacha20-poly1305";
const OPTIONS = { authTagLength: TAG_BYTES } as const;
const SIGMA = new Uint32Array(Uint8Array.from(Buffer.from("expand 32-byte k", "latin1")).buffer);
const NONCES_PER_DRAW = 128;

export interface BoxInput {
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
  /** Bytes left free before the nonce, for the caller to fill. */
  readonly headerBytes: number;
}

/**
 * Seals and opens boxes (nonce, ciphertext, tag). Holds scratch space only: each call runs to its
 * end before the next starts, and wipes the subkey it computed.
 */
export class BoxCipher {
  readonly #nonceWords = new Uint32Array(4);
  readonly #nonceBytes = new Uint8Array(this.#nonceWords.buffer);
  readonly #subkeyWords = new Uint32Array(KEY_BYTES / 4);
  readonly #subkey = new Uint8Array(this.#subkeyWords.buffer);
  readonly #iv = new Uint8Array(12);
  readonly #nonces = new Uint8Array(NONCES_PER_DRAW * NONCE_BYTES);
  #nonceAt: number = this.#nonces.length;

  /** `headerBytes` unset bytes, then a box under a fresh random nonce. */
  seal(key: CipherKey, input: BoxInput): Buffer {
    if (this.#nonceAt === this.#nonces.length) {
      randomFillSync(this.#nonces);
      this.#nonceAt = 0;
    }
    const at = this.#nonceAt;
    this.#nonceAt = at + NONCE_BYTES;
    return this.sealWithNonce(key, this.#nonces.subarray(at, at + NONCE_BYTES), input);
  }

  /** `seal` with a given nonce: for published vectors; a nonce must never serve twice. */
  sealWithNonce(key: CipherKey, nonce: Uint8Array, input: BoxInput): Buffer {
    assert(nonce.length === NONCE_BYTES, "Nonce is not 24 bytes");
    const { aad, plaintext, headerBytes } = input;
    this.#derive(key, nonce);
    const cipher = createCipheriv(CIPHER, this.#subkey, this.#iv, OPTIONS);
    this.#subkeyWords.fill(0);
    cipher.setAAD(aad, { plaintextLength: plaintext.length });
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    const body = headerBytes + NONCE_BYTES;
    const out = Buffer.allocUnsafe(body + ciphertext.length + TAG_BYTES);
    out.set(nonce, headerBytes);
    out.set(ciphertext, body);
    out.set(cipher.getAuthTag(), body + ciphertext.length);
    return out;
  }

  /** The plaintext of `box`, or `undefined` if it was not sealed with this key and AAD. */
  open(key: CipherKey, aad: Uint8Array, box: Uint8Array): Uint8Array | undefined {
    const tagAt = box.length - TAG_BYTES;
    if (tagAt < NONCE_BYTES) return undefined;
    this.#derive(key, box);
    const decipher = createDecipheriv(CIPHER, this.#subkey, this.#iv, OPTIONS);
    this.#subkeyWords.fill(0);
    decipher.setAAD(aad, { plaintextLength: tagAt - NONCE_BYTES });
    decipher.setAuthTag(box.subarray(tagAt));
    const plaintext = decipher.update(box.subarray(NONCE_BYTES, tagAt));
    try {
      decipher.final();
    } catch {
      plaintext.fill(0); // Not authenticated: nobody may see it.
      return undefined;
    }
    return plaintext;
  }

  /** Sets the subkey and the inner nonce for the nonce at the start of `nonce`. */
  #derive(key: CipherKey, nonce: Uint8Array): void {
    assert(key.length === KEY_BYTES / 4, "Cipher key is not 32 bytes");
    for (let i = 0; i < 16; i++) this.#nonceBytes[i] = nonce[i] as number;
    for (let i = 0; i < 8; i++) this.#iv[4 + i] = nonce[16 + i] as number;
    hchacha(SIGMA, key, this.#nonceWords, this.#subkeyWords);
  }
}
