import { randomBytes, randomUUID } from "node:crypto";
import {
  type PolicyFiles,
  createAccess,
  faultOfRow,
  planPolicyChange,
  rowOf,
  rowsAfter,
} from "../access/mod.ts";
import { type Audit, recordedRequest } from "../audit/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import type { Fsm } from "../core/fsm/mod.ts";
import { checkTxn } from "../core/mvcc/mod.ts";
import { leaseId, memberId, tenantId } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import type { Node } from "../node/mod.ts";
import { type Keyring, RECORD_OVERHEAD_BYTES } from "../seal/mod.ts";
import type { StateStore } from "../storage/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";
import { auditPort } from "./audit-port.ts";
import { processClock } from "./clock.ts";
import { requestTimeoutMs } from "./create-node.ts";
import type { MemberIdentity } from "./member-identity.ts";
import { versionsOf } from "./versions.ts";

const KEY_BYTES_MAX = 10 * 1024;
/** etcd's defaults: --max-request-bytes and --max-txn-ops. */
const REQUEST_BYTES_MAX = 1_572_864;
const TXN_OPS_MAX = 128;

/** Wires the rooms that the edge needs, each to the port that the edge declares for it. */
export function createEdgeDeps(parts: {
  readonly config: ServerConfig;
  readonly node: Node;
  readonly keyring: Keyring;
  readonly policies: PolicyFiles;
  readonly identity: MemberIdentity;
  readonly audit: Audit;
  readonly store: StateStore;
  readonly metrics: Metrics;
  readonly machine: Pick<Fsm, "chainAt">;
  readonly links: EdgeParts["links"];
  readonly natsMissing: EdgeParts["natsMissing"];
  readonly onTenantDeleted: EdgeParts["onTenantDeleted"];
  readonly log: Logger;
  readonly version: string;
}): EdgeParts {
  const { config, node, keyring, policies, identity, audit, store, log } = parts;
  const { state } = node;
  const access = createAccess({
    modelText: policies.modelText,
    rows: (tenant) => state.records(tenant, "policy").map(rowOf),
    policyRevision: (tenant) => state.policyRevision(tenant),
  });
  return {
    node,
    ...identity.ports,
    access: {
      ...access,
      planPolicyChange,
      rowsAfter,
      faultOfRow,
      rowOf,
      seedRows: (owner) => policies.seedRows({ owner }),
    },
    seal: {
      seal: (tenant, key, plaintext) => keyring.seal(tenant, key, plaintext),
      open: (tenant, key, record) => keyring.open(tenant, key, record),
      valueBytes: (record) => Math.max(0, record.length - RECORD_OVERHEAD_BYTES),
      newTenantKeys: (tenant) => keyring.newTenantKeys(tenant),
    },
    audit: auditPort(audit, log),
    metrics: parts.metrics,
    random: {
      // Positive, as etcd draws them, and never 0.
      leaseId: () => leaseId(randomBytes(8).readBigUInt64BE() & 0x7fffffffffffffffn || 1n),
      memberId: () => memberId(randomBytes(8).readBigUInt64BE() || 1n),
      tenantId: () => tenantId(randomUUID()),
    },
    clock: processClock,
    limits: {
      txnOpsMax: TXN_OPS_MAX,
      requestBytesMax: REQUEST_BYTES_MAX,
      quotaBytes: config.quotaBytes,
      keyBytesMax: KEY_BYTES_MAX,
      leaseTtlMin: Math.ceil((1.5 * config.electionMs) / 1000),
      requestTimeoutMs: requestTimeoutMs(config),
      leaderLossMs: config.electionMs,
    },
    versions: versionsOf(parts.version),
    checkTxn,
    size: () => store.size(),
    alarms: quotaAlarms(store, config.quotaBytes),
    links: parts.links,
    natsMissing: parts.natsMissing,
    onTenantDeleted: parts.onTenantDeleted,
    recordedRequest,
    chainAt: (tenant, revision) => parts.machine.chainAt(tenant, revision),
    log,
  };
}

/** How old the known size of the store may be: asking SQLite for it on every put would cost more. */
const SIZE_AGE_MS = 250;

function quotaAlarms(store: StateStore, quotaBytes: number): EdgeParts["alarms"] {
  let asked = Number.NEGATIVE_INFINITY;
  let raised: readonly "nospace"[] = [];
  return () => {
    const now = processClock.now();
    if (now - asked >= SIZE_AGE_MS) {
      asked = now;
      raised = store.size().inUse > quotaBytes ? ["nospace"] : [];
    }
    return raised;
  };
}
