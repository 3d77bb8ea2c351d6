import assert from "node:assert/strict";
import { join } from "node:path";
import { rmSync } from "node:fs";
import test from "node:test";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { createFrameCrypto, createRootKeyFile, keyFileProvider } from "../../src/seal/mod.ts";
import type { FrameCryptoOptions, RootKeyProvider } from "../../src/seal/mod.ts";
import { FrameKey } from "../../src/seal/frame-keys.ts";
import { createFolder, flipped, utf8 } from "./cluster-fixture.ts";
import { rejected } from "./refused.ts";

const AAD = utf8("coffer.cluster.g0.raft.b.a and a header");
const TEXT = utf8("append entries");
const LIFE_A = new Uint8Array(16).fill(1);
const LIFE_B = new Uint8Array(16).fill(2);
const SCOPE = { from: "a", to: "b", fromLife: LIFE_A, toLife: LIFE_B };

/** Two key files, for as long as `work` runs. */
async function withKeyFiles(
  work: (providers: readonly RootKeyProvider[]) => Promise<void>,
): Promise<void> {
  const folder = createFolder();
  try {
    const paths = ["one.key", "two.key"].map((name) => join(folder, name));
    for (const path of paths) createRootKeyFile(path);
    await work(paths.map((path) => keyFileProvider({ path })));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function sealed(key: Pick<FrameKey, "seal">, counter: number): Uint8Array {
  const out = new Uint8Array(TEXT.length + 16);
  key.seal(counter, AAD, TEXT, out);
  return out;
}

test("a frame is ChaCha20-Poly1305 with the counter as nonce, as noble computes it", () => {
  const key = Uint8Array.from({ length: 32 }, (_, at) => at);
  const counter = 0x1_0203_0405;
  const nonce = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5);
  const wanted = chacha20poly1305(key, nonce, AAD).encrypt(TEXT);
  assert.deepEqual(sealed(new FrameKey(Uint8Array.from(key)), counter), wanted);
  const opened = new FrameKey(Uint8Array.from(key)).open(counter, AAD, wanted);
  assert.deepEqual(Uint8Array.from(opened ?? []), TEXT);
});

test("no counter seals twice, and none goes back", () => {
  const key = new FrameKey(new Uint8Array(32).fill(7));
  sealed(key, 5);
  assert.throws(() => sealed(key, 5), /Frame counter went back/);
  assert.throws(() => sealed(key, 4), /Frame counter went back/);
  assert.throws(() => sealed(key, Number.MAX_SAFE_INTEGER + 1), /Frame counter went back/);
  sealed(key, 6);
});

test("refusal 43: one changed bit anywhere in a frame, its header or its counter", () => {
  const key = new FrameKey(new Uint8Array(32).fill(7));
  const frame = sealed(key, 9);
  assert.ok(key.open(9, AAD, frame));
  for (let at = 0; at < frame.length; at++) {
    assert.equal(key.open(9, AAD, flipped(frame, at, 1 << (at % 8))), undefined);
  }
  for (let at = 0; at < AAD.length; at++) {
    assert.equal(key.open(9, flipped(AAD, at), frame), undefined);
  }
  assert.equal(key.open(8, AAD, frame), undefined);
  for (let length = 0; length < frame.length; length++) {
    assert.equal(key.open(9, AAD, frame.subarray(0, length)), undefined);
  }
});

test("members with one key file have the same keys", async () => {
  await withKeyFiles(async ([provider]) => {
    const options = { provider: provider!, cluster: "00000000000000aa", group: "g0" };
    const [here, there] = [await createFrameCrypto(options), await createFrameCrypto(options)];
    const frame = sealed(here.derive(SCOPE), 1);
    assert.deepEqual(Uint8Array.from(there.derive(SCOPE).open(1, AAD, frame) ?? []), TEXT);
  });
});

test("refusal 43: another root key, cluster, group, sender, receiver or life", async () => {
  await withKeyFiles(async ([provider, foreign]) => {
    const options = { provider: provider!, cluster: "00000000000000aa", group: "g0" };
    const key = (await createFrameCrypto(options)).derive(SCOPE);
    const frame = sealed(key, 1);
    const others: readonly (readonly [Partial<FrameCryptoOptions>, Partial<typeof SCOPE>])[] = [
      [{ provider: foreign! }, {}],
      [{ cluster: "00000000000000ab" }, {}],
      [{ group: "g1" }, {}],
      [{}, { from: "c" }],
      [{}, { to: "c" }],
      [{}, { from: "b", to: "a" }],
      [{}, { from: "ab", to: "" }],
      [{}, { fromLife: LIFE_B }],
      [{}, { toLife: LIFE_A }],
      [{}, { fromLife: LIFE_B, toLife: LIFE_A }],
    ];
    for (const [place, scope] of others) {
      const crypto = await createFrameCrypto({ ...options, ...place });
      const other = crypto.derive({ ...SCOPE, ...scope });
      assert.equal(other.open(1, AAD, frame), undefined, JSON.stringify([place.cluster, scope]));
    }
    assert.ok(key.open(1, AAD, frame));
  });
});

test("a closed key opens nothing, and closed frame keys derive nothing", async () => {
  await withKeyFiles(async ([provider]) => {
    const crypto = await createFrameCrypto({ provider: provider!, cluster: "aa", group: "g0" });
    const key = crypto.derive(SCOPE);
    const frame = sealed(key, 1);
    key.close();
    assert.equal(key.open(1, AAD, frame), undefined);
    crypto.close();
    assert.throws(() => crypto.derive(SCOPE), /closed/);
  });
});

test("a key file that is not there is named", async () => {
  const provider = keyFileProvider({ path: "/nowhere/root.key" });
  await rejected(
    () => createFrameCrypto({ provider, cluster: "aa", group: "g0" }),
    "sealed",
    /key file '\/nowhere\/root.key' cannot be read: ENOENT/,
  );
});
