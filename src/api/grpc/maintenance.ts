import { memberId } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { CofferError } from "../../errors.ts";
import { rpc } from "../../proto/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** etcdserverpb.Maintenance, as far as it is offered. */
export function maintenanceMethods(edge: Edge): readonly Method[] {
  return [status(edge), alarm(edge), moveLeader(edge), hashKv(edge)];
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
        throw new CofferError(
          "unimplemented",
          "alarms can be read, not raised or disarmed: each ends with its cause",
        );
      }
      const { header, body } = await edge.alarms(caller);
      const alarms = body
        .map(({ member, alarm: kind }) => ({ memberID: member, alarm: ALARM_TYPES[kind] }))
        .filter((row) => request.alarm === rpc.AlarmType.NONE || row.alarm === request.alarm);
      return { header: headerOf(header), alarms };
    },
  );
}

/** As etcd's, the answer has no header. */
function moveLeader(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Maintenance/MoveLeader",
    { request: rpc.MoveLeaderRequest, response: rpc.MoveLeaderResponse },
    async (caller, { targetID }) => {
      await edge.moveLeader(caller, memberId(targetID));
      return { header: undefined };
    },
  );
}

function hashKv(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Maintenance/HashKV",
    { request: rpc.HashKVRequest, response: rpc.HashKVResponse },
    async (caller, { revision }) => {
      const { header, body } = await edge.hashKv(caller, { revision: clamp(revision) });
      return {
        header: headerOf(header),
        hash: body.hash,
        compactRevision: whole(body.compactRevision),
        hashRevision: whole(body.hashRevision),
      };
    },
  );
}
