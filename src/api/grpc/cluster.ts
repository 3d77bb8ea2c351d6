import { type MemberInfo, memberId } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { rpc } from "../../proto/mod.ts";
import { type Method, headerOf, unary } from "./method.ts";

/** etcdserverpb.Cluster. Its headers have revision 0 (etcd api/v3rpc/member.go). */
export function clusterMethods(edge: Edge): readonly Method[] {
  return [
    memberAdd(edge),
    unary(
      "/etcdserverpb.Cluster/MemberRemove",
      { request: rpc.MemberRemoveRequest, response: rpc.MemberRemoveResponse },
      async (caller, { ID }) => {
        const { header, body } = await edge.memberRemove(caller, memberId(ID));
        return { header: headerOf(header, 0), members: body.members.map(memberOf) };
      },
    ),
    unary(
      "/etcdserverpb.Cluster/MemberUpdate",
      { request: rpc.MemberUpdateRequest, response: rpc.MemberUpdateResponse },
      async (caller, { ID, peerURLs }) => {
        const request = { id: memberId(ID), peerUrls: peerURLs };
        const { header, body } = await edge.memberUpdate(caller, request);
        return { header: headerOf(header, 0), members: body.members.map(memberOf) };
      },
    ),
    unary(
      "/etcdserverpb.Cluster/MemberPromote",
      { request: rpc.MemberPromoteRequest, response: rpc.MemberPromoteResponse },
      async (caller, { ID }) => {
        const { header, body } = await edge.memberPromote(caller, memberId(ID));
        return { header: headerOf(header, 0), members: body.members.map(memberOf) };
      },
    ),
    unary(
      "/etcdserverpb.Cluster/MemberList",
      { request: rpc.MemberListRequest, response: rpc.MemberListResponse },
      async (caller, { linearizable }) => {
        const { header, body } = await edge.memberList(caller, { linearizable });
        return { header: headerOf(header, 0), members: body.map(memberOf) };
      },
    ),
  ];
}

function memberAdd(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Cluster/MemberAdd",
    { request: rpc.MemberAddRequest, response: rpc.MemberAddResponse },
    async (caller, { peerURLs, isLearner }) => {
      const { header, body } = await edge.memberAdd(caller, { peerUrls: peerURLs, isLearner });
      return {
        header: headerOf(header, 0),
        member: memberOf(body.member),
        members: body.members.map(memberOf),
      };
    },
  );
}

function memberOf(member: MemberInfo): rpc.Member {
  return {
    ID: member.id,
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}
