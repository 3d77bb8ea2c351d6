import { CofferError } from "../errors.ts";
import {
  CLUSTER_SCOPE,
  type MemberId,
  type MemberInfo,
  type Revision,
  revision,
} from "../core/types/mod.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authoriseAny,
  linearize,
  runRequest,
} from "./gate.ts";
import type { Caller, HealthCheck, HealthResult, Reply, StatusBody } from "./requests.ts";

/** What a caller may know of the member and the cluster. */

export function status(deps: EdgeDeps, caller: Caller): Promise<Reply<StatusBody>> {
  return runRequest(deps, caller, { action: "status", target: NO_TARGET }, async (context) => {
    authoriseAny(context);
    const at = deps.node.status();
    const size = deps.size();
    const errors = at.leader === 0n ? ["etcdserver: no leader"] : [];
    if (deps.audit.blocked !== undefined) errors.push("coffer: audit-blocked");
    const body: StatusBody = {
      version: deps.versions.etcd,
      cofferVersion: deps.versions.coffer,
      storageVersion: deps.versions.storage,
      dbSize: size.total,
      dbSizeInUse: size.inUse,
      dbSizeQuota: deps.limits.quotaBytes,
      leader: at.leader,
      raftIndex: at.raftIndex,
      raftTerm: at.term,
      raftAppliedIndex: at.appliedIndex,
      isLearner: at.isLearner,
      errors,
    };
    return { body, revision: revisionOf(context) };
  });
}

/** etcd's cluster replies carry revision 0 (api/v3rpc/member.go). */
export function memberList(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly linearizable: boolean },
): Promise<Reply<readonly MemberInfo[]>> {
  return runRequest(deps, caller, { action: "member-list", target: NO_TARGET }, async (context) => {
    if (request.linearizable) await linearize(context);
    authoriseAny(context);
    return { body: deps.node.state.members(), revision: revision(0) };
  });
}

export interface RaisedAlarm {
  readonly member: MemberId;
  readonly alarm: "nospace" | "corrupt";
}

export function alarms(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly RaisedAlarm[]>> {
  return runRequest(deps, caller, { action: "alarm-list", target: NO_TARGET }, async (context) => {
    authoriseAny(context);
    return { body: raisedAlarms(deps), revision: revisionOf(context) };
  });
}

/** Health is told to all who reach the port, as etcd does: no key, tenant or name is in it. */
export async function health(
  deps: EdgeDeps,
  checks: readonly HealthCheck[],
): Promise<readonly HealthResult[]> {
  const results: HealthResult[] = [];
  for (const check of checks) results.push({ check, failure: await failureOf(deps, check) });
  return results;
}

async function failureOf(deps: EdgeDeps, check: HealthCheck): Promise<string | undefined> {
  try {
    switch (check) {
      case "serializable-read":
        deps.node.state.tenants();
        return undefined;
      case "linearizable-read":
        await deps.node.readIndex();
        return undefined;
      case "data-corruption":
        return raisedAlarms(deps).some((raised) => raised.alarm === "corrupt")
          ? "alarm activated: CORRUPT"
          : undefined;
      case "space":
        return raisedAlarms(deps).some((raised) => raised.alarm === "nospace")
          ? "alarm activated: NOSPACE"
          : undefined;
      case "audit":
        return deps.audit.blocked === undefined ? undefined : "audit-blocked";
      case "non-learner":
        return deps.node.status().isLearner ? "this member is a learner" : undefined;
    }
  } catch (error) {
    // The text of our own errors holds nothing secret; any other stays inside.
    return error instanceof CofferError ? error.message : "internal error";
  }
}

function raisedAlarms(deps: EdgeDeps): readonly RaisedAlarm[] {
  const member = deps.node.memberId;
  return deps.alarms().map((alarm) => ({ member, alarm }));
}

function revisionOf(context: RequestContext): Revision {
  if (context.scope === CLUSTER_SCOPE) return revision(0);
  return context.deps.node.state.tenant(context.scope)?.revision ?? revision(0);
}
