import assert from "node:assert/strict";
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { CLUSTER_SCOPE, key, tenantId } from "../../src/core/types/mod.ts";
import { createRootKeyFile, keyFileProvider } from "../../src/seal/mod.ts";
import type { Keyring, RootKeyProvider } from "../../src/seal/mod.ts";
import { createTestCluster, flipped, TENANT_A, TENANT_B, utf8 } from "./cluster-fixture.ts";
import type { TestCluster } from "./cluster-fixture.ts";
import { refused, rejected } from "./refused.ts";

const KEY = key("/k");
const VALUE = utf8("value");

async function withCluster(run: (cluster: TestCluster) => Promise<void> | void): Promise<void> {
  const cluster = await createTestCluster();
  try {
    await run(cluster);
  } finally {
    cluster.remove();
  }
}

function opened(keyring: Keyring, record: Uint8Array): string {
  return Buffer.from(keyring.open(TENANT_A, KEY, record)).toString("utf8");
}

test("a cluster without a root key is sealed and says so; keys are made once", async () => {
  await withCluster(async ({ reopen, keyring }) => {
    const empty = reopen({ records: () => [] });
    assert.match(empty.status().reason ?? "", /no active root key/);
    refused(() => empty.seal(TENANT_A, KEY, VALUE), "sealed");
    await rejected(() => keyring.newClusterKeys(), "already-exists");
  });
});

test("refusal 52: a wrong key file keeps the member sealed and both ids are named", async () => {
  await withCluster(async ({ reopen, folder, keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const path = join(folder, "other.key");
    const id = createRootKeyFile(path);
    const wrong = reopen({ provider: keyFileProvider({ path }) });
    await rejected(
      () => wrong.unseal(),
      "sealed",
      new RegExp(`holds key-file:${id}, but .* key-file:`),
    );
    assert.equal(wrong.status().sealed, true);
    refused(
      () => wrong.open(TENANT_A, KEY, record),
      "sealed",
      /^coffer: member is sealed: no root key is available$/,
    );
    refused(() => wrong.seal(TENANT_A, KEY, VALUE), "sealed");
    refused(() => wrong.newTenantKeys(TENANT_A), "sealed");
    assert.ok(table.of(CLUSTER_SCOPE).length > 0);
  });
});

test("refusal 52: a root key that opens but is not the committed one is refused", async () => {
  await withCluster(async ({ reopen, keyring }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const liar: RootKeyProvider = {
      description: "liar",
      wrap: () => ({ keyId: "liar", ciphertext: new Uint8Array(0) }),
      unwrap: () => new Uint8Array(32).fill(9),
      derive: () => ({ keyId: "liar", key: new Uint8Array(32).fill(9) }),
    };
    const wrong = reopen({ provider: liar });
    await rejected(
      () => wrong.unseal(),
      "record-invalid",
      /key root\/1 opened to a key that its commit/,
    );
    refused(() => wrong.open(TENANT_A, KEY, record), "sealed");
  });
});

test("a client's error names no path, its cause does", async () => {
  await withCluster(({ reopen, keyFile }) => {
    chmodSync(keyFile, 0o644);
    const member = reopen();
    try {
      member.seal(TENANT_A, KEY, VALUE);
      assert.fail("sealed with a wide key file");
    } catch (error) {
      assert.ok(error instanceof CofferError);
      assert.equal(error.message.includes(keyFile), false);
      assert.match(String(error.cause), /chmod 600/);
    }
    assert.match(member.status().reason ?? "", /^key file '.*' has mode 0644.*chmod 600/);
  });
});

test("a sealed member opens once the key file is right, and asks once a second", async () => {
  await withCluster(({ reopen, keyFile, provider }) => {
    let now = 0;
    let asked = 0;
    const counting: RootKeyProvider = {
      ...provider,
      unwrap: (box, context) => (asked++, provider.unwrap(box, context)),
    };
    chmodSync(keyFile, 0o644);
    const member = reopen({ provider: counting, clock: { now: () => now } });
    refused(() => member.seal(TENANT_A, KEY, VALUE), "sealed");
    chmodSync(keyFile, 0o600);
    now = 999;
    refused(() => member.seal(TENANT_A, KEY, VALUE), "sealed");
    assert.equal(asked, 1);
    now = 1000;
    member.seal(TENANT_A, KEY, VALUE);
    assert.equal(asked, 2);
  });
});

test("an open member stays open when cluster keys change and the key file is gone", async () => {
  await withCluster(({ reopen, keyFile, provider }) => {
    let asked = 0;
    const counting: RootKeyProvider = {
      ...provider,
      unwrap: (box, context) => (asked++, provider.unwrap(box, context)),
    };
    const member = reopen({ provider: counting });
    const record = member.seal(TENANT_A, KEY, VALUE);
    rmSync(keyFile);
    member.invalidate(CLUSTER_SCOPE);
    assert.equal(opened(member, record), "value");
    assert.equal(member.status().sealed, false);
    assert.equal(asked, 1);
  });
});

test("a root key that is gone from the cluster is forgotten", async () => {
  await withCluster(({ keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const root = table.of(CLUSTER_SCOPE).find(({ id }) => id.startsWith("root/"))?.id ?? "";
    table.apply(CLUSTER_SCOPE, [
      { table: "wrapped-key", id: root, data: undefined, expect: "any" },
    ]);
    keyring.invalidate(CLUSTER_SCOPE);
    refused(() => keyring.open(TENANT_A, KEY, record), "sealed");
    assert.match(keyring.status().reason ?? "", /no active root key/);
  });
});

test("a provider that answers later: sealed meanwhile, then open", async () => {
  await withCluster(async ({ reopen, provider }) => {
    const slow: RootKeyProvider = {
      description: "a KMS",
      wrap: async (rootKey, context) => await provider.wrap(rootKey, context),
      unwrap: async (box, context) => await provider.unwrap(box, context),
      derive: async (context) => await provider.derive(context),
    };
    const member = reopen({ provider: slow });
    refused(() => member.seal(TENANT_A, KEY, VALUE), "sealed");
    assert.match(member.status().reason ?? "", /waiting for a KMS/);
    await member.unseal();
    assert.equal(opened(member, member.seal(TENANT_A, KEY, VALUE)), "value");
    const failing = reopen({
      provider: { ...slow, unwrap: () => Promise.reject(new Error("socket closed")) },
    });
    await rejected(() => failing.unseal(), "sealed", /a KMS failed/);
  });
});

test("refusal 49: a flipped bit in any byte of a wrapped key is refused", async () => {
  await withCluster(({ reopen, keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const secret = keyring.sealSecret("s", VALUE);
    const cases = [
      [TENANT_A, "tenant/1"],
      [TENANT_A, "data/1"],
      [CLUSTER_SCOPE, "secret/1"],
      [CLUSTER_SCOPE, "root/1"],
    ] as const;
    for (const [scope, id] of cases) {
      const data = table.data(scope, id);
      for (let at = 0; at < data.length; at++) {
        const altered = (of: typeof scope) =>
          table
            .of(of)
            .map((row) =>
              of === scope && row.id.startsWith(id) ? { ...row, data: flipped(data, at) } : row,
            );
        const member = reopen({ records: altered });
        const open = (): unknown =>
          scope === TENANT_A ? member.open(TENANT_A, KEY, record) : member.openSecret("s", secret);
        assert.throws(open, CofferError, `${id} byte ${at}`);
      }
    }
  });
});

test("refusal 49: a wrapped key cut short, grown or of a later format is refused", async () => {
  await withCluster(({ reopen, table }) => {
    const data = Uint8Array.from(table.data(TENANT_A, "data/1"));
    const use = (altered: Uint8Array) => () => {
      table.put(TENANT_A, "data/1", altered);
      reopen().seal(TENANT_A, KEY, VALUE);
    };
    for (let length = 0; length < data.length; length++) {
      refused(use(data.subarray(0, length)), "record-invalid", /is empty|cut short/);
    }
    refused(use(Buffer.concat([data, data])), "record-invalid", /data\/1 has bytes after its end/);
    refused(use(flipped(data, 0, 3)), "record-invalid", /has format 2, this version reads 1/);
  });
});

test("a wrapped key whose commitment is another key's is refused", async () => {
  await withCluster(({ reopen, keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const data = table.data(TENANT_A, "data/1");
    table.put(TENANT_A, "data/1", flipped(data, data.length - 1));
    const message = /key data\/1 opened to a key that its commitment does not name/;
    refused(() => reopen().open(TENANT_A, KEY, record), "record-invalid", message);
  });
});

test("a tenant that was re-created opens none of its old records", async () => {
  await withCluster(({ keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    const again = tenantId("00000000-0000-4000-8000-0000000000aa");
    table.apply(again, keyring.newTenantKeys(again));
    refused(() => keyring.open(again, KEY, record), "record-invalid");
    const unknown = tenantId("00000000-0000-4000-8000-0000000000ff");
    refused(() => keyring.seal(unknown, KEY, VALUE), "not-found");
    refused(() => keyring.open(unknown, KEY, record), "not-found");
  });
});

test("keys of a tenant are read once, and again after invalidate or eviction", async () => {
  await withCluster(({ reopen, table }) => {
    const member = reopen({ tenantsMax: 1 });
    const reads = (run: () => unknown): number => {
      const before = table.reads;
      run();
      return table.reads - before;
    };
    const seal = (tenant: typeof TENANT_A) => () => member.seal(tenant, KEY, VALUE);
    seal(TENANT_A)();
    assert.equal(reads(seal(TENANT_A)), 0);
    member.invalidate(TENANT_A);
    assert.equal(reads(seal(TENANT_A)), 1);
    assert.equal(reads(seal(TENANT_B)), 1);
    assert.equal(member.status().scopesOpen, 1);
    assert.equal(reads(seal(TENANT_A)), 1);
    member.invalidate(TENANT_B);
    assert.equal(reads(seal(TENANT_A)), 0);
  });
});

test("a deleted tenant's keys are gone after invalidate", async () => {
  await withCluster(({ keyring, table }) => {
    const record = keyring.seal(TENANT_A, KEY, VALUE);
    for (const { id } of table.of(TENANT_A)) {
      table.apply(TENANT_A, [{ table: "wrapped-key", id, data: undefined, expect: "present" }]);
    }
    keyring.invalidate(TENANT_A);
    refused(() => keyring.open(TENANT_A, KEY, record), "not-found");
  });
});

test("a closed keyring is sealed for ever", async () => {
  await withCluster(async ({ reopen }) => {
    const member = reopen();
    const record = member.seal(TENANT_A, KEY, VALUE);
    member.close();
    member.close();
    member.invalidate(CLUSTER_SCOPE);
    refused(() => member.open(TENANT_A, KEY, record), "sealed");
    refused(() => member.sealSecret("s", VALUE), "sealed");
    await rejected(() => member.unseal(), "sealed");
    assert.equal(member.status().reason, "the keyring is closed");
  });
});
