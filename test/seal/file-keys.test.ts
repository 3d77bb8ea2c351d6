import assert from "node:assert/strict";
import { createHmac, hkdfSync } from "node:crypto";
import test from "node:test";
import { createFileKeys } from "../../src/seal/mod.ts";
import type { RootKeyProvider } from "../../src/seal/mod.ts";
import { lengthPrefixed } from "../../src/seal/key-material.ts";
import { utf8 } from "./cluster-fixture.ts";

const CLUSTER = "00c0ffee00c0ffee";
const KEY = Uint8Array.from({ length: 32 }, (_, at) => at);

/** Derives `key`, and keeps what it was asked for and what it gave. */
function providerOf(key: Uint8Array): RootKeyProvider & {
  readonly contexts: Uint8Array[];
  readonly given: Uint8Array[];
} {
  const contexts: Uint8Array[] = [];
  const given: Uint8Array[] = [];
  const never = (): never => assert.fail("File keys need no more than derive");
  const derive: RootKeyProvider["derive"] = (context) => {
    contexts.push(context);
    const copy = Uint8Array.from(key);
    given.push(copy);
    return { keyId: "key-file:0011223344556677", key: copy };
  };
  return { description: "test", wrap: never, unwrap: never, derive, contexts, given };
}

test("a tag is HMAC-SHA-256 of all parts under a key of the file and its owner", async () => {
  const provider = providerOf(KEY);
  const keys = await createFileKeys({ provider, cluster: CLUSTER });
  const mac = keys.mac("raft.db", "a1");
  const info = lengthPrefixed(["coffer file mac v1", "raft.db", "a1"].map(utf8));
  const key = Buffer.from(hkdfSync("sha256", KEY, new Uint8Array(0), info, 32));
  const wanted = createHmac("sha256", key).update("one, two").digest();
  assert.deepEqual(Buffer.from(mac.tag(utf8("one, "), utf8("two"))), wanted);
  assert.equal(mac.keyId, "key-file:0011223344556677");
  assert.deepEqual(
    provider.contexts.map((context) => Buffer.from(context)),
    [lengthPrefixed(["coffer file key v1", CLUSTER].map(utf8))],
  );
});

test("no two files, owners or keys have a tag in common", async () => {
  const tags = new Set<string>();
  for (const key of [KEY, KEY.toReversed()]) {
    const keys = await createFileKeys({ provider: providerOf(key), cluster: CLUSTER });
    for (const [file, owner] of [
      ["raft.db", "a1"],
      ["raft.db", "a2"],
      ["raft.db", ""],
      ["state.db", ""],
      ["state.dba", "1"],
    ] as const) {
      tags.add(Buffer.from(keys.mac(file, owner).tag(utf8("row"))).toString("hex"));
    }
  }
  assert.equal(tags.size, 10);
});

test("closed, the file key is wiped, and what was derived goes on", async () => {
  const provider = providerOf(KEY);
  const keys = await createFileKeys({ provider, cluster: CLUSTER });
  const mac = keys.mac("state.db", "");
  const before = mac.tag(utf8("row"));
  keys.close();
  assert.deepEqual(provider.given, [new Uint8Array(32)]);
  assert.deepEqual(mac.tag(utf8("row")), before);
  assert.throws(() => keys.mac("state.db", ""), /File keys were closed/);
});
