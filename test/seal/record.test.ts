import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clusterId, key } from "../../src/core/types/mod.ts";
import { RECORD_OVERHEAD_BYTES } from "../../src/seal/mod.ts";
import { createTestCluster, flipped, TENANT_A, TENANT_B, utf8 } from "./cluster-fixture.ts";
import type { TestCluster } from "./cluster-fixture.ts";
import { refused } from "./refused.ts";

let cluster: TestCluster;
before(async () => void (cluster = await createTestCluster()));
after(() => cluster.remove());

const KEY = key("/db/password");
const VALUE = utf8("correct horse battery staple");

test("a record opens to its value, on this and on another member", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  assert.deepEqual(Uint8Array.from(cluster.keyring.open(TENANT_A, KEY, record)), VALUE);
  const other = cluster.reopen();
  assert.deepEqual(Uint8Array.from(other.open(TENANT_A, KEY, record)), VALUE);
  other.close();
});

test("a record is suite, epoch, nonce, ciphertext and tag", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  assert.deepEqual([...record.subarray(0, 5)], [1, 0, 0, 0, 1]);
  assert.equal(record.length, VALUE.length + RECORD_OVERHEAD_BYTES);
  assert.equal(RECORD_OVERHEAD_BYTES, 45);
  assert.equal(Buffer.from(record).includes(Buffer.from(VALUE)), false);
});

test("empty values, empty keys, all byte values and long keys are sealed", () => {
  const keys = ["", "\0", "a".repeat(10_240), String.fromCharCode(...Array(256).keys())];
  for (const name of keys) {
    for (const value of [new Uint8Array(0), Uint8Array.from(Array(256).keys())]) {
      const record = cluster.keyring.seal(TENANT_A, key(name), value);
      assert.deepEqual(Uint8Array.from(cluster.keyring.open(TENANT_A, key(name), record)), value);
    }
  }
});

test("equal values make unlike records", () => {
  const one = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  const two = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  assert.notDeepEqual(one.subarray(29), two.subarray(29));
});

test("refusal 49: one flipped bit in any byte of a record", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  for (let at = 0; at < record.length; at++) {
    for (const bit of [1, 0x80]) {
      const altered = flipped(record, at, bit);
      refused(() => cluster.keyring.open(TENANT_A, KEY, altered), "record-invalid");
    }
  }
});

test("refusal 49: a record cut short or grown", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  for (let length = 0; length < record.length; length++) {
    const cut = record.subarray(0, length);
    refused(() => cluster.keyring.open(TENANT_A, KEY, cut), "record-invalid");
  }
  const grown = Buffer.concat([record, Buffer.alloc(1)]);
  refused(() => cluster.keyring.open(TENANT_A, KEY, grown), "record-invalid");
});

test("refusal 50: a record moved to another key", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  for (const name of ["/db/passwore", "/db/password\0", "/DB/password", "", "db/password"]) {
    refused(() => cluster.keyring.open(TENANT_A, key(name), record), "record-invalid", /moved/);
  }
});

test("refusal 50: a record moved to another tenant", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  refused(() => cluster.keyring.open(TENANT_B, KEY, record), "record-invalid", /moved/);
});

test("refusal 50: a tenant's wrapped keys moved to another tenant open nothing there", () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  const moved = cluster.reopen({
    records: (scope) => cluster.table.of(scope === TENANT_B ? TENANT_A : scope),
  });
  refused(
    () => moved.open(TENANT_B, KEY, record),
    "record-invalid",
    /key tenant\/1 was altered or moved/,
  );
  moved.close();
});

test("refusal 50: a record moved to another cluster", async () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  const other = await createTestCluster();
  refused(() => other.keyring.open(TENANT_A, KEY, record), "record-invalid", /moved/);
  other.remove();
});

test("refusal 50: the whole database under another cluster id stays sealed", async () => {
  const record = cluster.keyring.seal(TENANT_A, KEY, VALUE);
  const other = cluster.reopen({ clusterId: clusterId(8n) });
  refused(() => other.open(TENANT_A, KEY, record), "sealed");
  assert.match(other.status().reason ?? "", /altered or is of another cluster/);
  other.close();
});

test("a secret opens for its purpose only, and is no tenant's record", () => {
  const { keyring } = cluster;
  const secret = keyring.sealSecret("token issuer", VALUE);
  assert.deepEqual(Uint8Array.from(keyring.openSecret("token issuer", secret)), VALUE);
  refused(() => keyring.openSecret("token issues", secret), "record-invalid");
  refused(() => keyring.open(TENANT_A, key("token issuer"), secret), "record-invalid");
  const record = keyring.seal(TENANT_A, KEY, VALUE);
  refused(() => keyring.openSecret(KEY, record), "record-invalid");
});
