import { type clusterApi, type historyApi, mvcc, type rpc } from "../client/mod.ts";
import {
  clusterId,
  type DeleteRangeResult,
  type HistoryItem,
  type Key,
  key,
  type KeyValue,
  leaseId,
  memberId,
  type MemberInfo,
  type PutResult,
  type RangeResult,
  type ResponseOp,
  revision,
  type TxnResult,
  type WatchEvent,
  type WatchResponse,
} from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { byteStringOf } from "../stdx/mod.ts";
import type { FleetMember, MemberStatus, Reply, ReplyHeader } from "./client-port.ts";

/**
 * Messages of the API as plain replies. A server is not trusted to send what fits: what does not is an
 * `internal` error, never an assertion.
 */

export function replyOf<T>(
  { header }: { readonly header: rpc.ResponseHeader | undefined },
  body: T,
): Reply<T> {
  return { header: headerOf(header), body };
}

function headerOf(header: rpc.ResponseHeader | undefined): ReplyHeader {
  return {
    clusterId: clusterId(header?.clusterId ?? 0n),
    memberId: memberId(header?.memberId ?? 0n),
    revision: revision(countOf(header?.revision ?? 0n)),
    term: countOf(header?.raftTerm ?? 0n),
  };
}

/** A number that JavaScript can hold exactly. */
export function countOf(value: bigint): number {
  if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw new CofferError("internal", "the server sent a number out of range");
}

export function present<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new CofferError("internal", "the server's reply lacks a part");
}

export function keyFrom(bytes: Uint8Array): Key {
  return key(byteStringOf(bytes));
}

function kvOf(kv: mvcc.KeyValue): KeyValue {
  return {
    key: keyFrom(kv.key),
    createRevision: revision(countOf(kv.createRevision)),
    modRevision: revision(countOf(kv.modRevision)),
    version: countOf(kv.version),
    lease: leaseId(kv.lease),
    value: kv.value,
  };
}

const maybeKv = (kv: mvcc.KeyValue | undefined): KeyValue | undefined =>
  kv === undefined ? undefined : kvOf(kv);

export function rangeOf({ kvs, more, count }: rpc.RangeResponse): RangeResult {
  return { kvs: kvs.map(kvOf), more, count: countOf(count) };
}

export function putOf({ prevKv }: rpc.PutResponse): PutResult {
  return { prevKv: maybeKv(prevKv) };
}

export function deleteOf({ deleted, prevKvs }: rpc.DeleteRangeResponse): DeleteRangeResult {
  return { deleted: countOf(deleted), prevKvs: prevKvs.map(kvOf) };
}

export function txnOf({ succeeded, responses }: rpc.TxnResponse): TxnResult {
  return { succeeded, responses: responses.map(opOf) };
}

function opOf({ response }: rpc.ResponseOp): ResponseOp {
  const op = present(response);
  const at = revision(countOf(op.value.header?.revision ?? 0n));
  switch (op.$case) {
    case "responseRange":
      return { kind: "range", revision: at, response: rangeOf(op.value) };
    case "responsePut":
      return { kind: "put", revision: at, response: putOf(op.value) };
    case "responseDeleteRange":
      return { kind: "delete-range", revision: at, response: deleteOf(op.value) };
    case "responseTxn":
      return { kind: "txn", revision: at, response: txnOf(op.value) };
    default:
      throw new CofferError("internal", "the server sent an unknown response");
  }
}

export function watchOf(response: rpc.WatchResponse): Reply<WatchResponse> {
  const { header } = replyOf(response, undefined);
  const { created, canceled, cancelReason, fragment } = response;
  const body = {
    watchId: Number(response.watchId),
    revision: header.revision,
    created,
    canceled,
    compactRevision: countOf(response.compactRevision),
    cancelReason,
    fragment,
    events: response.events.map(eventOf),
  };
  return { header, body };
}

function eventOf({ type, kv, prevKv }: mvcc.Event, sub: number): WatchEvent {
  const isDelete = type === mvcc.Event_EventType.DELETE;
  return {
    type: isDelete ? "delete" : "put",
    kv: kvOf(present(kv)),
    sub,
    prevKv: maybeKv(prevKv),
  };
}

export function statusOf(response: rpc.StatusResponse): MemberStatus {
  return {
    version: response.version,
    cofferVersion: response.cofferVersion,
    dbSize: countOf(response.dbSize),
    dbSizeInUse: countOf(response.dbSizeInUse),
    leader: memberId(response.leader),
    raftIndex: countOf(response.raftIndex),
    raftTerm: countOf(response.raftTerm),
    raftAppliedIndex: countOf(response.raftAppliedIndex),
    isLearner: response.isLearner,
    errors: response.errors,
  };
}

export function memberOf(member: rpc.Member | undefined): MemberInfo {
  const { ID, name, peerURLs, clientURLs, isLearner } = present(member);
  return { id: memberId(ID), name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner };
}

export function fleetMemberOf(member: clusterApi.MemberStatus): FleetMember {
  const { id, name, clientUrls, isLearner, report, roundTripUs } = member;
  return {
    id: memberId(id),
    name,
    clientUrls,
    isLearner,
    roundTripUs: countOf(roundTripUs),
    report:
      report === undefined
        ? undefined
        : {
            version: report.version,
            leader: memberId(report.leader),
            raftTerm: countOf(report.raftTerm),
            raftIndex: countOf(report.raftIndex),
            raftAppliedIndex: countOf(report.raftAppliedIndex),
            dbSize: countOf(report.dbSize),
            dbSizeInUse: countOf(report.dbSizeInUse),
          },
  };
}

export function historyItemOf({ type, kv, actor, time }: historyApi.HistoryItem): HistoryItem {
  return {
    type: type === mvcc.Event_EventType.DELETE ? "delete" : "put",
    kv: kvOf(present(kv)),
    actor: present(actor),
    time: countOf(time),
  };
}
