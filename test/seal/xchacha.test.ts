import assert from "node:assert/strict";
import { test } from "node:test";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import fc from "fast-check";
import { BoxCipher, type CipherKey } from "../../src/seal/xchacha.ts";

const cipher = new BoxCipher();

function keyOf(bytes: Uint8Array): CipherKey {
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
const PLAINTEXT = Buffer.from(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
    "sunscreen would be it.",
);
const AAD = hex("50515253c0c1c2c3c4c5c6c7");
const KEY = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
const NONCE = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
const CIPHERTEXT = hex(`
  bd6d179d3e83d43b9576579493c0e939 572a1700252bfaccbed2902c21396cbb
  731c7f1b0b4aa6440bf3a82f4eda7e39 ae64c6708c54c216cb96b72e1213b452
  2f8c9ba40db5d945b11b69b982c1bb9e 3f3fac2bc369488f76b2383565d3fff9
  21f9664c97637da9768812f615c68b13 b52e`);
const TAG = hex("c0875924c1c7987947deafd8780acf49");

test("the published vector seals to the published bytes", () => {
  const input = { aad: AAD, plaintext: PLAINTEXT, headerBytes: 0 };
  const box = cipher.sealWithNonce(keyOf(KEY), NONCE, input);
  assert.deepEqual(box, Buffer.concat([NONCE, CIPHERTEXT, TAG]));
});

test("the published vector opens to the published plaintext", () => {
  const box = Buffer.concat([NONCE, CIPHERTEXT, TAG]);
  assert.deepEqual(cipher.open(keyOf(KEY), AAD, box), Buffer.from(PLAINTEXT));
});

test("random boxes of all sizes are noble's to the byte, both ways", () => {
  const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length });
  const sizes = fc.oneof(fc.uint8Array({ maxLength: 300 }), bytes(4096), bytes(65537));
  const parts = fc.tuple(bytes(32), bytes(24), fc.uint8Array({ maxLength: 200 }), sizes);
  fc.assert(
    fc.property(parts, ([key, nonce, aad, plaintext]) => {
      const box = cipher.sealWithNonce(keyOf(key), nonce, { aad, plaintext, headerBytes: 3 });
      const sealed = xchacha20poly1305(key, nonce, aad).encrypt(plaintext);
      assert.deepEqual(Buffer.from(box.subarray(27)), Buffer.from(sealed));
      const opened = cipher.open(keyOf(key), aad, Buffer.concat([nonce, sealed]));
      assert.deepEqual(Uint8Array.from(opened ?? []), plaintext);
    }),
    { numRuns: 200 },
  );
});

test("a million-byte box is noble's to the byte", () => {
  const plaintext = new Uint8Array(1 << 20).map((_, i) => (i * 31) & 0xff);
  const box = cipher.seal(keyOf(KEY), { aad: AAD, plaintext, headerBytes: 0 });
  const opened = xchacha20poly1305(KEY, box.subarray(0, 24), AAD).decrypt(box.subarray(24));
  assert.ok(Buffer.from(plaintext).equals(opened));
});

test("no nonce appears twice, across the draws of random bytes", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    const box = cipher.seal(keyOf(KEY), { aad: AAD, plaintext: TAG, headerBytes: 0 });
    seen.add(box.toString("hex", 0, 24));
  }
  assert.equal(seen.size, 2000);
  const firstBytes = new Set([...seen].map((nonce) => nonce.slice(0, 2)));
  assert.ok(firstBytes.size > 200, "all bytes of the nonce vary, the prefix too");
});

test("another AAD, another key and a short box open to nothing", () => {
  const box = cipher.seal(keyOf(KEY), { aad: AAD, plaintext: PLAINTEXT, headerBytes: 0 });
  assert.equal(cipher.open(keyOf(KEY), AAD.subarray(1), box), undefined);
  assert.equal(cipher.open(keyOf(KEY.map((byte) => byte ^ 1)), AAD, box), undefined);
  for (let length = 0; length < 41; length++) {
    assert.equal(cipher.open(keyOf(KEY), AAD, box.subarray(0, length)), undefined);
  }
});
