import { CofferError, errorRow } from "../errors.ts";
import {
  CLUSTER_SCOPE,
  type MemberId,
  type MemberReport,
  type Revision,
  revision,
} from "../core/types/mod.ts";
import {
  ALL_KEYS,
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authorise,
  authoriseAny,
  currentRevision,
  requireTenant,
  runRequest,
} from "./gate.ts";
import type {
  Caller,
  HealthCheck,
  HealthResult,
  MemberReportBody,
  MemberStatusBody,
  Reply,
  StatusBody,
} from "./requests.ts";

/** What a caller may know of the member that it asks. */

export function status(deps: EdgeDeps, caller: Caller): Promise<Reply<StatusBody>> {
  const what = { action: "status", target: NO_TARGET, onLearner: true };
  return runRequest(deps, caller, what, async (context) => {
    authoriseAny(context);
    const at = deps.node.status();
    const size = deps.size();
    const errors = at.leader === 0n ? [errorRow("no-leader").text] : [];
    const missing = deps.natsMissing();
    if (missing !== undefined)
      errors.push(`coffer: not connected to NATS at ${missing.join(", ")}`);
    // As etcd prints an alarm (api/v3rpc/maintenance.go, AlarmMember.String).
    for (const { member, alarm } of raisedAlarms(deps)) {
      errors.push(`memberID:${member} alarm:${alarm.toUpperCase()} `);
    }
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

/** Each member is asked by this one over the network between them, so one answer shows all. */
export function clusterStatus(
  deps: EdgeDeps,
  caller: Caller,
): Promise<Reply<readonly MemberStatusBody[]>> {
  const what = { action: "cluster-status", target: NO_TARGET, onLearner: true };
  return runRequest(deps, caller, what, async (context) => {
    authoriseAny(context);
    const asked = await deps.node.fleetStatus();
    const known = deps.node.state.members();
    const links = deps.links?.() ?? [];
    const body = asked.map(({ id, name, isLearner, report }): MemberStatusBody => {
      const { roundTripMs } = links.find((link) => link.name === name) ?? {};
      const clientUrls = known.find((member) => member.id === id)?.clientUrls ?? [];
      return {
        id,
        name,
        clientUrls,
        isLearner,
        roundTripMs,
        report: report === undefined ? undefined : reportBody(report),
      };
    });
    return { body, revision: revision(0) };
  });
}

function reportBody(report: MemberReport): MemberReportBody {
  return {
    version: report.version,
    leader: report.leader,
    raftTerm: report.term,
    raftIndex: report.raftIndex,
    raftAppliedIndex: report.appliedIndex,
    dbSize: report.dbBytes,
    dbSizeInUse: report.dbBytesInUse,
  };
}

export interface HashKvBody {
  /** The first 32 bits of the chain's hash. */
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
}

/**
 * What members compare to see that they hold the same: the tenant's hash chain, which covers every
 * change up to the revision. It tells whether a guess at the whole content is right, so it takes the
 * right to read all of it.
 */
export function hashKv(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly revision: number },
): Promise<Reply<HashKvBody>> {
  return runRequest(deps, caller, { action: "hash-kv", target: NO_TARGET }, async (context) => {
    const tenant = requireTenant(context);
    authorise(context, "read", ALL_KEYS);
    const revisionNow = currentRevision(context);
    if (request.revision > revisionNow) throw new CofferError("future-revision");
    const chain = deps.chainAt(tenant, Math.max(0, request.revision));
    if (chain === undefined) throw new CofferError("compacted");
    const { at } = chain;
    const body = {
      hash: new DataView(at.hash.buffer, at.hash.byteOffset).getUint32(0),
      // etcd's is -1 before the first compaction (server/storage/mvcc/kvstore.go).
      compactRevision: deps.node.state.tenant(tenant)?.compactRevision || -1,
      hashRevision: at.revision,
    };
    return { body, revision: revisionNow };
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
        // Whoever asks need not wait until a read would have timed out.
        if (deps.node.leader === 0n) return noLeader(deps);
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
        return deps.node.isLearner ? "this member is a learner" : undefined;
    }
  } catch (error) {
    // The text of our own errors holds nothing secret; any other stays inside.
    return error instanceof CofferError ? error.message : "internal error";
  }
}

/** With the reason if it is known. Addresses are for those who may ask for the status. */
function noLeader(deps: EdgeDeps): string {
  const { text } = errorRow("no-leader");
  return deps.natsMissing() === undefined ? text : `${text} (not connected to NATS)`;
}

function raisedAlarms(deps: EdgeDeps): readonly RaisedAlarm[] {
  const member = deps.node.memberId;
  return deps.alarms().map((alarm) => ({ member, alarm }));
}

function revisionOf(context: RequestContext): Revision {
  if (context.scope === CLUSTER_SCOPE) return revision(0);
  return context.deps.node.state.tenant(context.scope)?.revision ?? revision(0);
}
