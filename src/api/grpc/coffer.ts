import { type Key, type KeyValue, type TenantInfo, key } from "../../core/types/mod.ts";
import type { Edge, MemberReportBody, MemberStatusBody } from "../../edge/mod.ts";
import { coffer, mvcc } from "../../proto/mod.ts";
import { byteStringOf } from "../../stdx/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** The services of coffer.v1: what Coffer offers beyond etcd's API. */
export function cofferMethods(edge: Edge): readonly Method[] {
  return [
    clusterStatus(edge),
    ...tenants(edge),
    ...policies(edge),
    ...tokens(edge),
    history(edge),
    audit(edge),
  ];
}

function clusterStatus(edge: Edge): Method {
  return unary(
    "/coffer.v1.Cluster/Status",
    { request: coffer.ClusterStatusRequest, response: coffer.ClusterStatusResponse },
    async (caller) => {
      const { header, body } = await edge.clusterStatus(caller);
      return { header: headerOf(header, 0), members: body.map(memberStatusOf) };
    },
  );
}

function memberStatusOf(member: MemberStatusBody): coffer.MemberStatus {
  const { report, roundTripMs } = member;
  return {
    id: member.id,
    name: member.name,
    clientUrls: [...member.clientUrls],
    isLearner: member.isLearner,
    report: report === undefined ? undefined : reportOf(report),
    // At least one: 0 means that it was not measured.
    roundTripUs: roundTripMs === undefined ? 0n : whole(Math.max(1, roundTripMs * 1000)),
  };
}

function reportOf(report: MemberReportBody): coffer.MemberReport {
  return {
    version: report.version,
    leader: report.leader,
    raftTerm: whole(report.raftTerm),
    raftIndex: whole(report.raftIndex),
    raftAppliedIndex: whole(report.raftAppliedIndex),
    dbSize: whole(report.dbSize),
    dbSizeInUse: whole(report.dbSizeInUse),
  };
}

function tenants(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tenants/Create",
      { request: coffer.TenantCreateRequest, response: coffer.TenantResponse },
      async (caller, { name, owner }) => {
        const { header, body } = await edge.tenantCreate(caller, { name, owner });
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/List",
      { request: coffer.TenantListRequest, response: coffer.TenantListResponse },
      async (caller) => {
        const { header, body } = await edge.tenantList(caller);
        return { header: headerOf(header), tenants: body.map(tenantOf) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/Show",
      { request: coffer.TenantShowRequest, response: coffer.TenantResponse },
      async (caller, { name }) => {
        const { header, body } = await edge.tenantShow(caller, name);
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/Delete",
      { request: coffer.TenantDeleteRequest, response: coffer.TenantDeleteResponse },
      async (caller, { name }) => ({
        header: headerOf((await edge.tenantDelete(caller, name)).header),
      }),
    ),
  ];
}

function policies(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Policies/List",
      { request: coffer.PolicyListRequest, response: coffer.PolicyListResponse },
      async (caller) => {
        const { header, body } = await edge.policyList(caller);
        const rows = body.rows.map((fields) => ({ fields: [...fields] }));
        return { header: headerOf(header), policyRevision: whole(body.policyRevision), rows };
      },
    ),
    unary(
      "/coffer.v1.Policies/Change",
      { request: coffer.PolicyChangeRequest, response: coffer.PolicyChangeResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyChange(caller, {
          add: request.add.map((row) => row.fields),
          remove: request.remove.map((row) => row.fields),
        });
        return { header: headerOf(header), policyRevision: whole(body.policyRevision) };
      },
    ),
    unary(
      "/coffer.v1.Policies/Ask",
      { request: coffer.PolicyAskRequest, response: coffer.PolicyAskResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyAsk(caller, {
          subject: request.subject,
          action: request.action,
          key: keyOf(request.key),
          rangeEnd: keyOf(request.rangeEnd),
        });
        const row = body.row === undefined ? undefined : { fields: [...body.row] };
        return { header: headerOf(header), allowed: body.allowed, row };
      },
    ),
  ];
}

function tokens(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tokens/Issue",
      { request: coffer.TokenIssueRequest, response: coffer.TokenIssueResponse },
      async (caller, { subject, groups, tenants: names, ttlSeconds }) => {
        const request = { subject, groups, tenants: names, ttlSeconds: clamp(ttlSeconds) };
        const { header, body } = await edge.tokenIssue(caller, request);
        return { header: headerOf(header), token: body.token, expires: whole(body.expires) };
      },
    ),
    unary(
      "/coffer.v1.Tokens/WhoAmI",
      { request: coffer.WhoAmIRequest, response: coffer.WhoAmIResponse },
      async (caller) => {
        const { header, body } = await edge.whoAmI(caller);
        const { actor, tenant, groups } = body;
        return { header: headerOf(header), actor, tenant, groups: [...groups] };
      },
    ),
  ];
}

function history(edge: Edge): Method {
  return unary(
    "/coffer.v1.History/List",
    { request: coffer.HistoryRequest, response: coffer.HistoryResponse },
    async (caller, { key: of, before, limit }) => {
      const request = { key: keyOf(of), before: clamp(before), limit: clamp(limit) };
      const { header, body } = await edge.history(caller, request);
      const items = body.map((item) => ({
        type: item.type === "put" ? mvcc.Event_EventType.PUT : mvcc.Event_EventType.DELETE,
        kv: keyValueOf(item.kv),
        actor: item.actor,
        time: whole(item.time),
      }));
      return { header: headerOf(header), items };
    },
  );
}

function audit(edge: Edge): Method {
  return unary(
    "/coffer.v1.Audit/Tail",
    { request: coffer.AuditTailRequest, response: coffer.AuditTailResponse },
    async (caller, { limit, afterSeq, subject, action, outcome }) => {
      const query = { limit: clamp(limit), afterSeq: clamp(afterSeq), subject, action, outcome };
      const { header, body } = await edge.auditTail(caller, query);
      return { header: headerOf(header), lines: [...body] };
    },
  );
}

function tenantOf(info: TenantInfo): coffer.Tenant {
  return {
    id: info.id,
    name: info.name,
    created: whole(info.created),
    revision: whole(info.revision),
    compactRevision: whole(info.compactRevision),
    policyRevision: whole(info.policyRevision),
  };
}

function keyValueOf(kv: KeyValue): mvcc.KeyValue {
  return {
    key: Buffer.from(kv.key, "latin1"),
    createRevision: whole(kv.createRevision),
    modRevision: whole(kv.modRevision),
    version: whole(kv.version),
    value: kv.value,
    lease: kv.lease,
  };
}

function keyOf(bytes: Uint8Array): Key {
  return key(byteStringOf(bytes));
}
