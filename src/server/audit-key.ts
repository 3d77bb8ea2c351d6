import { createPrivateKey } from "node:crypto";
import { type CheckpointSigner, signerOf } from "../audit/mod.ts";
import { CLUSTER_SCOPE, systemActor } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { newKeyPair } from "../key-pair/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";

/** Record (table `setting`) that holds the sealed private key that signs checkpoints: PKCS #8. */
const AUDIT_KEY_SETTING = "audit-key/1";
/** The purpose it is sealed under. */
const AUDIT_KEY_PURPOSE = "audit-key";

export interface AuditKeyDeps {
  readonly node: Pick<Node, "state" | "propose" | "readIndex">;
  readonly keyring: Pick<Keyring, "sealSecret" | "openSecret">;
}

/** The cluster's key, made if it has none yet. Rejects as proposals and the keyring do. */
export async function openAuditKey({ node, keyring }: AuditKeyDeps): Promise<CheckpointSigner> {
  const read = (): Uint8Array | undefined =>
    node.state.record(CLUSTER_SCOPE, "setting", AUDIT_KEY_SETTING);
  if (read() === undefined) await makeKey({ node, keyring });
  const sealed = read();
  if (sealed === undefined) throw new CofferError("not-found", "the key of audit checkpoints");
  const pkcs8 = keyring.openSecret(AUDIT_KEY_PURPOSE, sealed);
  try {
    return signerOf(createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" }));
  } finally {
    pkcs8.fill(0);
  }
}

async function makeKey({ node, keyring }: AuditKeyDeps): Promise<void> {
  const { privateKey } = newKeyPair("ed25519");
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  const data = keyring.sealSecret(AUDIT_KEY_PURPOSE, pkcs8);
  pkcs8.fill(0);
  const result = await node.propose({
    tenant: CLUSTER_SCOPE,
    policyRevision: undefined,
    actor: systemActor("audit"),
    command: {
      kind: "records",
      changes: [{ table: "setting", id: AUDIT_KEY_SETTING, data, expect: "absent" }],
    },
  });
  // Another member may have been first: its key is the cluster's.
  if (result.kind === "error" && result.code !== "already-exists") {
    throw new CofferError(result.code, result.detail);
  }
}
