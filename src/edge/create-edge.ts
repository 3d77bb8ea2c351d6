import { auditEdge } from "./audit.ts";
import { certificateRuleEdge } from "./certificate-rules.ts";
import { CredentialTurns } from "./credential-turns.ts";
import type { EdgeParts } from "./gate.ts";
import { followFormerTenants } from "./former-tenants.ts";
import { historyEdge } from "./history.ts";
import { issuerEdge } from "./issuers.ts";
import { compact, deleteRange, put, range } from "./kv.ts";
import { leaseGrant, leaseKeepAlive, leaseLeases, leaseRevoke, leaseTimeToLive } from "./lease.ts";
import { createLeaderWatch } from "./leader-watch.ts";
import {
  memberAdd,
  memberList,
  memberPromote,
  memberRemove,
  memberUpdate,
  moveLeader,
} from "./members.ts";
import { policyEdge } from "./policies.ts";
import type { Edge } from "./requests.ts";
import { revocationEdge } from "./revocations.ts";
import { alarms, clusterStatus, hashKv, health, status } from "./status.ts";
import { RefusalRecords } from "./refusal-records.ts";
import { TenantActivity } from "./tenant-activity.ts";
import { tenantEdge } from "./tenants.ts";
import { tokenEdge } from "./tokens.ts";
import { txn } from "./txn.ts";
import { watch } from "./watch.ts";

/** The gate over `parts`. */
export function createEdge(parts: EdgeParts): Edge & { close(): void } {
  const leaderWatch = createLeaderWatch({
    onLeadership: (listener) => parts.node.onLeadership(listener),
    graceMs: parts.limits.leaderLossMs,
  });
  const activity = new TenantActivity(parts);
  const refusals = new RefusalRecords(parts);
  const formerTenants = followFormerTenants(parts.node);
  const credentialTurns = new CredentialTurns(parts.clock);
  const deps = { ...parts, leaderWatch, formerTenants, activity, refusals, credentialTurns };
  return {
    range: (caller, request) => range(deps, caller, request),
    put: (caller, request) => put(deps, caller, request),
    deleteRange: (caller, request) => deleteRange(deps, caller, request),
    txn: (caller, request) => txn(deps, caller, request),
    compact: (caller, request) => compact(deps, caller, request),
    watch: (caller) => watch(deps, caller),
    leaseGrant: (caller, request) => leaseGrant(deps, caller, request),
    leaseRevoke: (caller, id) => leaseRevoke(deps, caller, id),
    leaseKeepAlive: (caller, id) => leaseKeepAlive(deps, caller, id),
    leaseTimeToLive: (caller, request) => leaseTimeToLive(deps, caller, request),
    leaseLeases: (caller) => leaseLeases(deps, caller),
    status: (caller) => status(deps, caller),
    clusterStatus: (caller) => clusterStatus(deps, caller),
    memberList: (caller, request) => memberList(deps, caller, request),
    memberAdd: (caller, request) => memberAdd(deps, caller, request),
    memberRemove: (caller, id) => memberRemove(deps, caller, id),
    memberUpdate: (caller, request) => memberUpdate(deps, caller, request),
    memberPromote: (caller, id) => memberPromote(deps, caller, id),
    moveLeader: (caller, target) => moveLeader(deps, caller, target),
    hashKv: (caller, request) => hashKv(deps, caller, request),
    close: () => {
      leaderWatch.close();
      formerTenants.close();
      activity.close();
      refusals.close();
    },
    whileLeader: (caller, lost) => leaderWatch.whileLeader(caller, lost),
    alarms: (caller) => alarms(deps, caller),
    health: (checks) => health(deps, checks),
    ...tenantEdge(deps),
    ...policyEdge(deps),
    ...tokenEdge(deps),
    ...revocationEdge(deps),
    ...issuerEdge(deps),
    ...certificateRuleEdge(deps),
    ...historyEdge(deps),
    ...auditEdge(deps),
  };
}
