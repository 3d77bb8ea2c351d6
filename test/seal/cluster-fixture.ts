import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLUSTER_SCOPE, clusterId, tenantId } from "../../src/core/types/mod.ts";
import type { ClusterId, RecordChange, StoredRecord, TenantId } from "../../src/core/types/mod.ts";
import { createKeyring, createRootKeyFile, keyFileProvider } from "../../src/seal/mod.ts";
import type { Keyring, KeyringOptions, RootKeyProvider } from "../../src/seal/mod.ts";

export const TENANT_A: TenantId = tenantId("00000000-0000-4000-8000-00000000000a");
export const TENANT_B: TenantId = tenantId("00000000-0000-4000-8000-00000000000b");

/** The `wrapped-key` records of a cluster, applied as the state machine would. */
export class RecordTable {
  readonly #scopes = new Map<TenantId, Map<string, Uint8Array>>();
  reads = 0;

  apply(scope: TenantId, changes: readonly RecordChange[]): void {
    const rows = this.#scopes.get(scope) ?? new Map<string, Uint8Array>();
    for (const change of changes) {
      if (change.expect === "absent" && rows.has(change.id)) throw new Error("present");
      if (change.expect === "present" && !rows.has(change.id)) throw new Error("absent");
      if (change.data === undefined) rows.delete(change.id);
      else rows.set(change.id, Uint8Array.from(change.data));
    }
    this.#scopes.set(scope, rows);
  }

  readonly of = (scope: TenantId): readonly StoredRecord[] => {
    this.reads++;
    return [...(this.#scopes.get(scope) ?? [])].map(([id, data]) => ({ id, data }));
  };

  data(scope: TenantId, id: string): Uint8Array {
    const data = this.of(scope).find((row) => row.id.startsWith(id))?.data;
    if (data === undefined) throw new Error(`no record ${id}`);
    return data;
  }

  put(scope: TenantId, id: string, data: Uint8Array): void {
    this.apply(scope, [{ table: "wrapped-key", id, data, expect: "any" }]);
  }
}

export interface TestCluster {
  readonly folder: string;
  readonly keyFile: string;
  readonly provider: RootKeyProvider;
  readonly table: RecordTable;
  readonly keyring: Keyring;
  /** Another member's keyring over the same records. */
  reopen(options?: Partial<KeyringOptions>): Keyring;
  remove(): void;
}

export const CLUSTER: ClusterId = clusterId(0x1122334455667788n);

/** A cluster with root key, and tenants A and B, in a folder of its own. */
export async function createTestCluster(
  options: Partial<KeyringOptions> = {},
): Promise<TestCluster> {
  const folder = createFolder();
  const keyFile = join(folder, "root.key");
  createRootKeyFile(keyFile);
  const provider = keyFileProvider({ path: keyFile });
  const table = new RecordTable();
  const reopen = (more: Partial<KeyringOptions> = {}): Keyring =>
    createKeyring({ clusterId: CLUSTER, provider, records: table.of, ...options, ...more });
  const keyring = reopen();
  table.apply(CLUSTER_SCOPE, await keyring.newClusterKeys());
  keyring.invalidate(CLUSTER_SCOPE);
  await keyring.unseal();
  for (const tenant of [TENANT_A, TENANT_B]) table.apply(tenant, keyring.newTenantKeys(tenant));
  const remove = (): void => {
    keyring.close();
    rmSync(folder, { recursive: true });
  };
  return { folder, keyFile, provider, table, keyring, reopen, remove };
}

export function createFolder(): string {
  return mkdtempSync(join(tmpdir(), "coffer-seal-"));
}

export function utf8(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "utf8"));
}

/** A copy with one bit of byte `at` flipped. */
export function flipped(bytes: Uint8Array, at: number, bit = 1): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ bit;
  return copy;
}
