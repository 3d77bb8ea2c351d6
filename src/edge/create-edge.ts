import type { EdgeParts } from "./gate.ts";
import { auditTail, history, tokenIssue, whoAmI } from "./insight.ts";
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
import { policyAsk, policyChange, policyList } from "./policies.ts";
import type { Edge } from "./requests.ts";
import { alarms, clusterStatus, hashKv, health, status } from "./status.ts";
import { tenantCreate, tenantDelete, tenantList, tenantShow } from "./tenants.ts";
import { txn } from "./txn.ts";
import { watch } from "./watch.ts";

/** The gate over `parts`. */
export function createEdge(parts: EdgeParts): Edge & { close(): void } {
  const leaderWatch = createLeaderWatch({
    onLeadership: (listener) => parts.node.onLeadership(listener),
    graceMs: parts.limits.leaderLossMs,
  });
  const deps = { ...parts, leaderWatch };
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
    close: () => leaderWatch.close(),
    whileLeader: (caller, lost) => leaderWatch.whileLeader(caller, lost),
    alarms: (caller) => alarms(deps, caller),
    health: (checks) => health(deps, checks),
    tenantCreate: (caller, request) => tenantCreate(deps, caller, request),
    tenantList: (caller) => tenantList(deps, caller),
    tenantShow: (caller, name) => tenantShow(deps, caller, name),
    tenantDelete: (caller, name) => tenantDelete(deps, caller, name),
    policyList: (caller) => policyList(deps, caller),
    policyChange: (caller, request) => policyChange(deps, caller, request),
    policyAsk: (caller, question) => policyAsk(deps, caller, question),
    tokenIssue: (caller, request) => tokenIssue(deps, caller, request),
    whoAmI: (caller) => whoAmI(deps, caller),
    history: (caller, request) => history(deps, caller, request),
    auditTail: (caller, query) => auditTail(deps, caller, query),
  };
}
