import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { sign, verify } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { newKeyPair } from "../../src/key-pair/mod.ts";

const kinds = ["p-256", "ed25519"] as const;
const MODULE = new URL("../../src/key-pair/mod.js", import.meta.url).href;
const WAIT_MS = 60_000;

for (const kind of kinds) {
  test(`a new ${kind} pair signs, and verifies what it signed`, () => {
    const { privateKey, publicKey } = newKeyPair(kind);
    const digest = kind === "p-256" ? "sha256" : undefined;
    const signature = sign(digest, Buffer.from("text"), privateKey);
    assert.equal(verify(digest, Buffer.from("text"), publicKey, signature), true);
    assert.notDeepEqual(
      newKeyPair(kind).publicKey.export({ format: "jwk" }),
      publicKey.export({ format: "jwk" }),
    );
  });
}

test("a collection while a new key is exported does not stop the process", () => {
  // A collection at every few allocations, so that one falls into an export.
  const script = `
    const { newKeyPair } = await import(${JSON.stringify(MODULE)});
    for (let i = 0; i < 300; i++) {
      newKeyPair("p-256").privateKey.export({ format: "jwk" });
    }
  `;
  const flags = ["--gc-interval=37", "--input-type=module", "--eval", script];
  const run = spawnSync(process.execPath, flags, {
    timeout: WAIT_MS,
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  assert.equal(run.signal, null);
  assert.equal(run.status, 0);
});
