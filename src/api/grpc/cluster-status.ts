import type { Edge, MemberReportBody, MemberStatusBody } from "../../edge/mod.ts";
import { clusterApi } from "../../proto/mod.ts";
import { type Method, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Cluster. */
export function clusterStatusMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Cluster/Status",
      { request: clusterApi.ClusterStatusRequest, response: clusterApi.ClusterStatusResponse },
      async (caller) => {
        const { header, body } = await edge.clusterStatus(caller);
        return { header: headerOf(header, 0), members: body.map(memberStatusOf) };
      },
    ),
  ];
}

function memberStatusOf(member: MemberStatusBody): clusterApi.MemberStatus {
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

function reportOf(report: MemberReportBody): clusterApi.MemberReport {
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
