import assert from "node:assert/strict";
import { test } from "node:test";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { CLUSTER_SCOPE, key } from "../../src/core/types/mod.ts";
import { RootKeys } from "../../src/seal/root-keys.ts";
import { ScopeKeys } from "../../src/seal/scope-keys.ts";
import { decodeWrappedKey } from "../../src/seal/wrapped-key.ts";
import { BoxCipher } from "../../src/seal/xchacha.ts";
import { CLUSTER, createTestCluster, TENANT_A, utf8 } from "./cluster-fixture.ts";
import type { TestCluster } from "./cluster-fixture.ts";

interface OpenKeys {
  readonly roots: RootKeys;
  readonly scope: ScopeKeys;
}

/** The keys of tenant A, opened beside the keyring. */
function openKeys(cluster: TestCluster): OpenKeys {
  const wrapped = (scope: typeof TENANT_A) =>
    cluster.table.of(scope).map((row) => decodeWrappedKey(row.data));
  const roots = new RootKeys({
    place: { clusterId: CLUSTER, scope: CLUSTER_SCOPE },
    provider: cluster.provider,
    wrapped: () => wrapped(CLUSTER_SCOPE),
    clock: { now: () => 0 },
  });
  const scope = new ScopeKeys({
    place: { clusterId: CLUSTER, scope: TENANT_A },
    wrapped: wrapped(TENANT_A),
    roots,
    cipher: new BoxCipher(),
    kind: "data",
    purpose: "",
  });
  return { roots, scope };
}

test("key bytes are zero after a wipe and after close", async () => {
  const cluster = await createTestCluster();
  const { roots, scope } = openKeys(cluster);
  const dataKey = scope.active().cipherKey;
  const rootKey = roots.wrappingKey("root/1");
  assert.ok(dataKey.some((word) => word !== 0) && rootKey.some((word) => word !== 0));
  scope.wipe();
  assert.ok(dataKey.every((word) => word === 0));
  roots.close();
  assert.ok(rootKey.every((word) => word === 0));
  cluster.remove();
});

test("a record is what noble seals under the documented AAD", async () => {
  const cluster = await createTestCluster();
  const { roots, scope } = openKeys(cluster);
  const record = cluster.keyring.seal(TENANT_A, key("/k\xff"), utf8("value"));
  const fields = [
    Uint8Array.of(1),
    Buffer.from("1122334455667788", "hex"),
    Buffer.from(TENANT_A, "latin1"),
    Buffer.from("2f6bff", "hex"),
    Uint8Array.of(0, 0, 0, 1),
  ];
  const aad = Buffer.concat(
    fields.flatMap((field) => [Uint8Array.of(0, 0, 0, field.length), field]),
  );
  const dataKey = new Uint8Array(scope.active().cipherKey.buffer);
  const noble = xchacha20poly1305(dataKey, record.subarray(5, 29), aad);
  assert.deepEqual(noble.decrypt(Uint8Array.from(record.subarray(29))), utf8("value"));
  roots.close();
  cluster.remove();
});
