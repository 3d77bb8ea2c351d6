import { type Key, type TenantId, key } from "../../../src/core/types/mod.ts";
import { TENANT_A, TENANT_B, createTestCluster } from "../../seal/cluster-fixture.ts";
import { mutated, noise, pick, sameBytes } from "../mutate.ts";
import { Finding, type Target, unlessRefused } from "../target.ts";

/** A sealed record opens where and as it was sealed, and nowhere and no way else. */
export async function recordTarget(): Promise<Target> {
  const cluster = await createTestCluster();
  const { keyring } = cluster;
  const open = (tenant: TenantId, at: Key, record: Uint8Array): Uint8Array | undefined =>
    unlessRefused(record, () => keyring.open(tenant, at, record));
  return {
    name: "record",
    attempt(random) {
      const at = key(Buffer.from(noise(random)).toString("latin1"));
      const value = noise(random, 300);
      const record = keyring.seal(TENANT_A, at, value);
      const opened = open(TENANT_A, at, record);
      if (opened === undefined || !sameBytes(opened, value)) {
        throw new Finding("a good record did not open", record);
      }
      const changed = mutated(record, random);
      if (!sameBytes(changed, record) && open(TENANT_A, at, changed) !== undefined) {
        throw new Finding("a changed record opened", changed);
      }
      const elsewhere = key(at + pick(["\0", "/", "a"], random));
      if (open(TENANT_A, elsewhere, record) !== undefined) {
        throw new Finding("a record opened under another key", record);
      }
      if (open(TENANT_B, at, record) !== undefined) {
        throw new Finding("a record opened in another tenant", record);
      }
    },
    close: () => cluster.remove(),
  };
}
