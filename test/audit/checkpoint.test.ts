import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import {
  checkpointKeyId,
  decodeCheckpoint,
  encodeCheckpoint,
  isSignedByItsKey,
  signCheckpoint,
  signerOf,
  type Checkpoint,
} from "../../src/audit/mod.ts";
import { NOW_MS, signer } from "./fixtures.ts";

const CHECKPOINT: Checkpoint = {
  kind: "head",
  cluster: "c1",
  member: "a1",
  tenant: "5f0c8a52-0000-4000-8000-000000000001",
  seq: 7,
  hash: "ab".repeat(32),
  time: NOW_MS,
};

test("a checkpoint is one line of JSON and comes back as it was", () => {
  const signed = signCheckpoint(CHECKPOINT, signer);
  const line = encodeCheckpoint(signed);
  assert.match(line, /^\{"checkpoint":"head","cluster":"c1",.*"time":"2026-11-22T12:00:00.000Z",/);
  assert.deepEqual(decodeCheckpoint(line), signed);
  assert.deepEqual(decodeCheckpoint(JSON.parse(line)), signed);
  assert.ok(isSignedByItsKey(signed));
  const { keyId } = JSON.parse(line) as { readonly keyId: string };
  assert.equal(keyId, checkpointKeyId(signer.publicKey));
  assert.match(keyId, /^[0-9a-f]{32}$/);
});

test("no field of a checkpoint can be changed, nor its key", () => {
  const signed = signCheckpoint(CHECKPOINT, signer);
  const other = signerOf(generateKeyPairSync("ed25519").privateKey);
  const changes: readonly Partial<typeof signed>[] = [
    { kind: "begin" },
    { cluster: "c2" },
    { member: "a2" },
    { tenant: "" },
    { seq: 8 },
    { hash: "cd".repeat(32) },
    { time: NOW_MS + 1 },
    { publicKey: other.publicKey },
    { publicKey: "" },
    { signature: signed.signature.slice(1) },
    { signature: "" },
  ];
  for (const change of changes) {
    assert.equal(isSignedByItsKey({ ...signed, ...change }), false, JSON.stringify(change));
  }
});

test("what is no checkpoint is none", () => {
  const line = encodeCheckpoint(signCheckpoint(CHECKPOINT, signer));
  const bad = [
    "",
    "{}",
    "null",
    '"x"',
    line.slice(1),
    line.replace('"head"', '"tail"'),
    line.replace('"seq":7', '"seq":7.5'),
    line.replace('"member":"a1"', '"member":"a1\\nseq=9"'),
    line.replace('"member":"a1"', '"member":["a1"]'),
    line.replace(/"time":"[^"]*"/, '"time":"soon"'),
  ];
  for (const text of bad) assert.equal(decodeCheckpoint(text), undefined, text);
});
