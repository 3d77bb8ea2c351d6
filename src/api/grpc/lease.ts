import { leaseId } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { rpc, frameOf } from "../../proto/mod.ts";
import {
  type Method,
  type StreamCall,
  type StreamHandler,
  clamp,
  decodeWith,
  headerOf,
  unary,
  whole,
} from "./method.ts";

/** etcdserverpb.Lease. */
export function leaseMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/etcdserverpb.Lease/LeaseGrant",
      { request: rpc.LeaseGrantRequest, response: rpc.LeaseGrantResponse },
      async (caller, { ID, TTL }) => {
        const reply = await edge.leaseGrant(caller, { id: leaseId(ID), ttl: clamp(TTL) });
        const { id, ttl } = reply.body;
        return { header: headerOf(reply.header), ID: id, TTL: whole(ttl), error: "" };
      },
    ),
    unary(
      "/etcdserverpb.Lease/LeaseRevoke",
      { request: rpc.LeaseRevokeRequest, response: rpc.LeaseRevokeResponse },
      async (caller, { ID }) => ({
        header: headerOf((await edge.leaseRevoke(caller, leaseId(ID))).header),
      }),
    ),
    {
      kind: "stream",
      type: "bidi_stream",
      path: "/etcdserverpb.Lease/LeaseKeepAlive",
      serve: (call) => keepAlive(edge, call),
    },
    timeToLive(edge),
    unary(
      "/etcdserverpb.Lease/LeaseLeases",
      { request: rpc.LeaseLeasesRequest, response: rpc.LeaseLeasesResponse },
      async (caller) => {
        const reply = await edge.leaseLeases(caller);
        return { header: headerOf(reply.header), leases: reply.body.map((ID) => ({ ID })) };
      },
    ),
  ];
}

/** A lease that is gone is told by TTL -1, without an error (etcd server/lease/lessor.go). */
function timeToLive(edge: Edge): Method {
  return unary(
    "/etcdserverpb.Lease/LeaseTimeToLive",
    { request: rpc.LeaseTimeToLiveRequest, response: rpc.LeaseTimeToLiveResponse },
    async (caller, { ID, keys }) => {
      const id = leaseId(ID);
      const reply = await edge.leaseTimeToLive(caller, { id, keys });
      const { lease, remaining } = reply.body;
      return {
        header: headerOf(reply.header),
        ID: id,
        TTL: lease === undefined ? -1n : whole(remaining),
        grantedTTL: lease === undefined ? 0n : whole(lease.grantedTtl),
        keys: (lease?.keys ?? []).map((key) => Buffer.from(key, "latin1")),
      };
    },
  );
}

/** Renewals of one stream are answered one after another, in the order they came. */
function keepAlive(edge: Edge, call: StreamCall): StreamHandler {
  let pending = false;
  const unwatch = edge.whileLeader(call.caller, call.finish);
  const renew = async (message: Buffer): Promise<void> => {
    const id = leaseId(decodeWith(rpc.LeaseKeepAliveRequest, message).ID);
    const { header, body } = await edge.leaseKeepAlive(call.caller, id);
    const response = { header: headerOf(header), ID: id, TTL: whole(body.ttl) };
    call.write(frameOf(rpc.LeaseKeepAliveResponse.encode(response).finish()));
    pending = false;
    if (call.writable) call.resume();
  };
  return {
    onMessage: (message) => {
      pending = true;
      call.pause();
      renew(message).catch(call.finish);
    },
    onHalfClose: () => call.finish(undefined),
    onWritable: () => {
      if (!pending) call.resume();
    },
    onClose: unwatch,
  };
}
