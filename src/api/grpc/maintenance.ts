import type { Edge } from "../../edge/mod.ts";
import { CofferError } from "../../errors.ts";
import { rpc } from "../../proto/mod.ts";
import { type Method, headerOf, unary, whole } from "./method.ts";

/** etcdserverpb.Maintenance and etcdserverpb.Cluster, as far as they are offered. */
export function maintenanceMethods(edge: Edge): readonly Method[] {
  return [status(edge), alarm(edge), memberList(edge)];
}

function status(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Maintenance/Status",
    { request: rpc.StatusRequest, response: rpc.StatusResponse },
    async (caller) => {
      const { header, body } = await edge.status(caller);
      return {
        header: headerOf(header),
        version: body.version,
        dbSize: whole(body.dbSize),
        leader: body.leader,
        raftIndex: whole(body.raftIndex),
        raftTerm: whole(body.raftTerm),
        raftAppliedIndex: whole(body.raftAppliedIndex),
        errors: [...body.errors],
        dbSizeInUse: whole(body.dbSizeInUse),
        isLearner: body.isLearner,
        storageVersion: body.storageVersion,
        dbSizeQuota: whole(body.dbSizeQuota),
        downgradeInfo: { enabled: false, targetVersion: "" },
        cofferVersion: body.cofferVersion,
      };
    },
  );
}

const ALARM_TYPES = { nospace: rpc.AlarmType.NOSPACE, corrupt: rpc.AlarmType.CORRUPT } as const;

/** GET alone: alarms are raised and cleared by the member itself. */
function alarm(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Maintenance/Alarm",
    { request: rpc.AlarmRequest, response: rpc.AlarmResponse },
    async (caller, request) => {
      if (request.action !== rpc.AlarmRequest_AlarmAction.GET) {
        throw new CofferError("unimplemented", "alarms can be read, not raised or disarmed");
      }
      const { header, body } = await edge.alarms(caller);
      const alarms = body
        .map(({ member, alarm: kind }) => ({ memberID: member, alarm: ALARM_TYPES[kind] }))
        .filter((row) => request.alarm === rpc.AlarmType.NONE || row.alarm === request.alarm);
      return { header: headerOf(header), alarms };
    },
  );
}

/** The header of the Cluster service has revision 0 (etcd api/v3rpc/member.go). */
function memberList(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Cluster/MemberList",
    { request: rpc.MemberListRequest, response: rpc.MemberListResponse },
    async (caller, { linearizable }) => {
      const { header, body } = await edge.memberList(caller, { linearizable });
      const members = body.map((member) => ({
        ID: member.id,
        name: member.name,
        peerURLs: [...member.peerUrls],
        clientURLs: [...member.clientUrls],
        isLearner: member.isLearner,
      }));
      return { header: headerOf(header, 0), members };
    },
  );
}
