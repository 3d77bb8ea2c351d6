import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_SCOPE } from "../../src/core/types/mod.ts";
import { RootKeys } from "../../src/seal/root-keys.ts";
import { ScopeKeys } from "../../src/seal/scope-keys.ts";
import { decodeWrappedKey } from "../../src/seal/wrapped-key.ts";
import { BoxCipher } from "../../src/seal/xchacha.ts";
import { CLUSTER, createTestCluster, TENANT_A } from "./cluster-fixture.ts";

test("key bytes are zero after a wipe and after close", async () => {
  const cluster = await createTestCluster();
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
  const dataKey = scope.active().cipherKey;
  const rootKey = roots.wrappingKey("root/1");
  assert.ok(dataKey.some((word) => word !== 0) && rootKey.some((word) => word !== 0));
  scope.wipe();
  assert.ok(dataKey.every((word) => word === 0));
  roots.close();
  assert.ok(rootKey.every((word) => word === 0));
  cluster.remove();
});
