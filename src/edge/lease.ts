import { CofferError } from "../errors.ts";
import { type LeaseId, type LeaseInfo, leaseId } from "../core/types/mod.ts";
import {
  ALL_KEYS,
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  type Target,
  authorise,
  authoriseAll,
  catchUp,
  currentRevision,
  linearize,
  refuseAtQuota,
  requireTenant,
  resultOf,
  runRequest,
} from "./gate.ts";
import { proposeChecked } from "./propose.ts";
import type { Caller, Reply } from "./requests.ts";

/** The five lease requests (etcd v3_server.go, lease/lessor.go). */

/** Seconds; etcd's MaxLeaseTTL. */
const LEASE_TTL_MAX = 9_000_000_000;

export function leaseGrant(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly id: LeaseId; readonly ttl: number },
): Promise<Reply<{ readonly id: LeaseId; readonly ttl: number }>> {
  return runRequest(deps, caller, { action: "lease-grant", target: NO_TARGET }, async (context) => {
    requireTenant(context);
    refuseAtQuota(deps);
    if (request.ttl > LEASE_TTL_MAX) throw new CofferError("lease-ttl-too-large");
    const ttl = Math.max(request.ttl, deps.limits.leaseTtlMin);
    const id = request.id === 0n ? deps.random.leaseId() : leaseId(request.id);
    const result = await proposeChecked(context, () => {
      authorise(context, "lease", ALL_KEYS);
      return { kind: "lease-grant", id, ttl };
    });
    return { body: { id, ttl }, revision: resultOf(result, "lease-grant").revision };
  });
}

/** Revoking deletes every attached key, so it needs `delete` on each of them. */
export function leaseRevoke(
  deps: EdgeDeps,
  caller: Caller,
  id: LeaseId,
): Promise<Reply<undefined>> {
  const what = { action: "lease-revoke", target: leaseTarget(id) };
  return runRequest(deps, caller, what, async (context) => {
    requireTenant(context);
    await catchUp(context);
    const result = await proposeChecked(context, () => {
      authoriseLease(context, id, "delete");
      return { kind: "lease-revoke", id, cause: "revoked" };
    });
    return { body: undefined, revision: resultOf(result, "lease-revoke").revision };
  });
}

export function leaseKeepAlive(
  deps: EdgeDeps,
  caller: Caller,
  id: LeaseId,
): Promise<Reply<{ readonly ttl: number }>> {
  const what = { action: "lease-keep-alive", target: leaseTarget(id) };
  return runRequest(deps, caller, what, async (context) => {
    requireTenant(context);
    await catchUp(context);
    const revision = currentRevision(context); // etcd fills the header before it renews.
    const result = await proposeChecked(context, () => {
      authoriseLease(context, id, "write");
      return { kind: "lease-renew", id };
    });
    return { body: { ttl: resultOf(result, "lease-renew").ttl }, revision };
  });
}

export function leaseTimeToLive(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly id: LeaseId; readonly keys: boolean },
): Promise<Reply<{ readonly lease: LeaseInfo | undefined; readonly remaining: number }>> {
  const what = { action: "lease-time-to-live", target: leaseTarget(request.id) };
  return runRequest(deps, caller, what, async (context) => {
    const tenant = requireTenant(context);
    await linearize(context);
    if (request.keys) authoriseLease(context, request.id, "read");
    else authorise(context, "lease", ALL_KEYS);
    const lease = deps.node.state.lease(tenant, request.id, request.keys);
    const left = lease === undefined ? -1 : (lease.deadline - deps.node.leaseNow()) / 1000;
    const remaining = lease === undefined ? -1 : Math.max(0, Math.floor(left));
    return { body: { lease, remaining }, revision: currentRevision(context) };
  });
}

/** Ids of all leases, the next to expire first. */
export function leaseLeases(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly LeaseId[]>> {
  return runRequest(deps, caller, { action: "lease-list", target: NO_TARGET }, async (context) => {
    const tenant = requireTenant(context);
    await linearize(context);
    authorise(context, "lease", ALL_KEYS);
    const leases = [...deps.node.state.leases(tenant)].sort((a, b) => a.deadline - b.deadline);
    return { body: leases.map((lease) => lease.id), revision: currentRevision(context) };
  });
}

/** The right to leases, and to do `action` to the keys on this one: who ends it decides over their life. */
function authoriseLease(
  context: RequestContext,
  lease: LeaseId,
  action: "read" | "write" | "delete",
): void {
  authoriseAll(context, [
    { kind: "keys", action: "lease", range: ALL_KEYS },
    { kind: "lease-keys", action, lease },
  ]);
}

/** A lease in the audit: its id as etcdctl prints it. */
function leaseTarget(id: LeaseId): Target {
  return { key: `lease:${BigInt.asUintN(64, id).toString(16)}`, rangeEnd: "" };
}
