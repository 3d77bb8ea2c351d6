import {
  CLUSTER_SCOPE,
  type RecordChange,
  type StoredRecord,
  systemActor,
} from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import {
  type IssuerKey,
  type IssuerRecord,
  builtinIssuerRecord,
  createBuiltinIssuer,
  encodeIssuerRecord,
  exportIssuerKey,
  importIssuerKey,
  isKeyDue,
  parseIssuerRecord,
  recordWithNewKey,
  recordWithoutEndedKeys,
} from "../identity/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/**
 * The signing key of the built-in issuer. Its private half is the one sealed record of table `setting`
 * whose id begins with ISSUER_KEY; the public halves, former ones too, are in the issuer's record. Each
 * change takes the id that it goes out from away, so that of two at once only one happens.
 */

export const BUILTIN_ISSUER = "coffer";
export const TOKEN_AUDIENCE = "coffer";
const ISSUER_KEY = "issuer-key/coffer";
/** The purpose it is sealed under. */
const ISSUER_KEY_PURPOSE = "issuer-key";
/** The greatest age of a token of the built-in issuer, in seconds: 30 days and a little. */
const TOKEN_AGE_SECONDS_MAX = 30 * 24 * 3600 + 60;
/** A key that has signed for so long is replaced. */
const KEY_AGE_MS_MAX = 30 * 86_400_000;
const LOOK_EVERY_MS = 3_600_000;

export interface IssuerKeysDeps {
  readonly node: Pick<Node, "state">;
  readonly keyring: Pick<Keyring, "sealSecret" | "openSecret">;
  readonly clock: Clock;
}

export function hasIssuerKey(node: Pick<Node, "state">): boolean {
  return findKey(node) !== undefined;
}

/** The records of a new cluster. */
export async function firstIssuerKey(
  deps: Omit<IssuerKeysDeps, "node">,
): Promise<readonly RecordChange[]> {
  const key = await createBuiltinIssuer();
  const record = builtinIssuerRecord({
    issuer: BUILTIN_ISSUER,
    audience: TOKEN_AUDIENCE,
    keys: [key],
    maxAgeSeconds: TOKEN_AGE_SECONDS_MAX,
    made: deps.clock.now(),
  });
  return [
    { table: "setting", id: ISSUER_KEY, data: sealKey(deps, key), expect: "absent" },
    issuerChange(record, "absent"),
  ];
}

/** The key that signs, as this member knows it. Rejects with `not-found` before the bootstrap. */
export async function openIssuerKey(deps: IssuerKeysDeps): Promise<IssuerKey> {
  const found = findKey(deps.node);
  if (found === undefined) throw new CofferError("not-found", "the built-in issuer's key");
  const secret = deps.keyring.openSecret(ISSUER_KEY_PURPOSE, found.data);
  try {
    return await importIssuerKey(secret);
  } finally {
    secret.fill(0);
  }
}

/**
 * The changes that make a new key sign. Former keys go on to verify until the last token that they
 * signed must have ended, or with `dropFormer` not at all. Applying them answers `not-found` when
 * another rotation was first.
 */
export async function planKeyRotation(
  deps: IssuerKeysDeps,
  dropFormer: boolean,
): Promise<{ readonly keyId: string; readonly changes: readonly RecordChange[] }> {
  const found = findKey(deps.node);
  if (found === undefined) throw new CofferError("not-found", "the built-in issuer's key");
  const key = await createBuiltinIssuer();
  const now = deps.clock.now();
  const record = recordWithNewKey(builtinRecord(deps.node), key, { now, dropFormer });
  const id = `${ISSUER_KEY}/${key.keyId}`;
  return {
    keyId: key.keyId,
    changes: [
      { table: "setting", id: found.id, data: undefined, expect: "present" },
      { table: "setting", id, data: sealKey(deps, key), expect: "absent" },
      issuerChange(record, "present"),
    ],
  };
}

interface RotationDeps extends IssuerKeysDeps {
  readonly node: Node;
  readonly log: Logger;
}

/** If this member leads: replaces the key that is of age, or else forgets former ones that have ended. */
export async function replaceOldKey(deps: RotationDeps): Promise<void> {
  const { node, log, clock } = deps;
  if (node.leader !== node.memberId || !hasIssuerKey(node)) return;
  const isDue = isKeyDue(builtinRecord(node), clock.now(), KEY_AGE_MS_MAX);
  const changes = isDue ? (await planKeyRotation(deps, false)).changes : pruning(deps);
  if (changes.length === 0) return;
  const result = await node.propose({
    tenant: CLUSTER_SCOPE,
    policyRevision: undefined,
    actor: systemActor("rotate-key"),
    command: { kind: "records", changes },
  });
  // Else somebody was first.
  if (result.kind === "done" && isDue) log.info("The built-in issuer signs with a new key");
}

/** `replaceOldKey` each hour, and whenever this member begins to lead. Returns what ends it. */
export function rotateByAge(deps: RotationDeps & { readonly scheduler: Scheduler }): () => void {
  const look = (): void => {
    replaceOldKey(deps).catch((cause: unknown) => {
      deps.log.warn("The built-in issuer's key could not be looked after; again in an hour", {
        cause,
      });
    });
  };
  const endHourly = deps.scheduler.every(LOOK_EVERY_MS, look);
  const endLeading = deps.node.onLeadership(look);
  look();
  return () => {
    endHourly();
    endLeading();
  };
}

function pruning({ node, clock }: IssuerKeysDeps): readonly RecordChange[] {
  const record = recordWithoutEndedKeys(builtinRecord(node), clock.now());
  const found = findKey(node);
  if (record === undefined || found === undefined) return [];
  // The key stays as it is; that it must still be there keeps this from undoing a rotation.
  const same = { table: "setting", id: found.id, data: found.data, expect: "present" } as const;
  return [same, issuerChange(record, "present")];
}

function findKey({ state }: Pick<Node, "state">): StoredRecord | undefined {
  return state.records(CLUSTER_SCOPE, "setting").find(({ id }) => id.startsWith(ISSUER_KEY));
}

function builtinRecord({ state }: Pick<Node, "state">): IssuerRecord {
  const data = state.record(CLUSTER_SCOPE, "issuer", BUILTIN_ISSUER);
  if (data === undefined) throw new CofferError("not-found", "the built-in issuer's record");
  return parseIssuerRecord(data);
}

function issuerChange(record: IssuerRecord, expect: "absent" | "present"): RecordChange {
  return { table: "issuer", id: BUILTIN_ISSUER, data: encodeIssuerRecord(record), expect };
}

function sealKey({ keyring }: Pick<IssuerKeysDeps, "keyring">, key: IssuerKey): Uint8Array {
  const secret = exportIssuerKey(key);
  const sealed = keyring.sealSecret(ISSUER_KEY_PURPOSE, secret);
  secret.fill(0);
  return sealed;
}
