import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { key } from "../../src/core/types/mod.ts";
import type { KeyState } from "../../src/seal/mod.ts";
import { createTestCluster, flipped, TENANT_A, TENANT_B, utf8 } from "./cluster-fixture.ts";
import type { TestCluster } from "./cluster-fixture.ts";
import { refused } from "./refused.ts";

let cluster: TestCluster;
before(async () => void (cluster = await createTestCluster()));
after(() => cluster.remove());

const KEY = key("/k");
const VALUE = utf8("value");

function move(epoch: number, state: KeyState): void {
  cluster.table.apply(TENANT_A, cluster.keyring.setDataKeyState(TENANT_A, epoch, state));
  cluster.keyring.invalidate(TENANT_A);
}

function seal(): Uint8Array {
  return cluster.keyring.seal(TENANT_A, KEY, VALUE);
}

function opens(record: Uint8Array): void {
  assert.deepEqual(Uint8Array.from(cluster.keyring.open(TENANT_A, KEY, record)), VALUE);
}

// One life of two epochs, in order; each step needs the one before.
test("a data key is made, made active, retired and destroyed", async (t) => {
  const first = seal();
  let second: Uint8Array;

  await t.test("a pre-active key seals nothing", () => {
    cluster.table.apply(TENANT_A, cluster.keyring.newDataKey(TENANT_A));
    cluster.keyring.invalidate(TENANT_A);
    assert.equal(seal()[4], 1);
  });

  await t.test("the active key seals, the one before only opens", () => {
    move(2, "active");
    second = seal();
    assert.equal(second[4], 2);
    opens(first);
    opens(second);
    refused(
      () => cluster.keyring.setDataKeyState(TENANT_A, 1, "active"),
      "conflict",
      /decrypt-only/,
    );
  });

  await t.test("refusal 50: a record moved to another epoch of its tenant", () => {
    const moved = flipped(second, 4, 3);
    assert.equal(moved[4], 1);
    refused(() => cluster.keyring.open(TENANT_A, KEY, moved), "record-invalid", /moved/);
  });

  await t.test("refusal 50: an epoch nobody made", () => {
    const unknown = flipped(second, 4, 8);
    refused(
      () => cluster.keyring.open(TENANT_A, KEY, unknown),
      "record-invalid",
      /data\/10 .*unknown/,
    );
    const high = flipped(second, 1, 0x80);
    refused(() => cluster.keyring.open(TENANT_A, KEY, high), "record-invalid", /data\/2147483650/);
  });

  await t.test("refusal 54: a destroyed key opens nothing, and its bytes are gone", () => {
    const before = cluster.table.data(TENANT_A, "data/1");
    move(1, "destroyed");
    assert.ok(cluster.table.data(TENANT_A, "data/1").length < before.length - 48);
    refused(
      () => cluster.keyring.open(TENANT_A, KEY, first),
      "record-invalid",
      /data\/1 has been destroyed/,
    );
    opens(second);
    refused(() => cluster.keyring.setDataKeyState(TENANT_A, 1, "active"), "conflict", /destroyed/);
  });

  await t.test("an epoch is never used again", () => {
    const [change] = cluster.keyring.newDataKey(TENANT_A);
    assert.equal(change?.id, "data/3");
    assert.equal(change?.expect, "absent");
    refused(() => cluster.keyring.setDataKeyState(TENANT_A, 3, "active"), "not-found");
  });
});

test("a tenant without an active key opens and does not seal", () => {
  const { keyring, table } = cluster;
  const record = keyring.seal(TENANT_B, KEY, VALUE);
  table.apply(TENANT_B, keyring.setDataKeyState(TENANT_B, 1, "decrypt-only"));
  keyring.invalidate(TENANT_B);
  refused(() => keyring.seal(TENANT_B, KEY, VALUE), "not-found", /no active data key/);
  assert.deepEqual(Uint8Array.from(keyring.open(TENANT_B, KEY, record)), VALUE);
});
