import { clusterApi, health, type mvcc, rpc } from "../proto/mod.ts";
import { type AuditCalls, auditCalls } from "./audit-calls.ts";
import { type CertificateCalls, certificateCalls } from "./certificate-calls.ts";
import { type HistoryCalls, historyCalls } from "./history-calls.ts";
import { type IssuerCalls, issuerCalls } from "./issuer-calls.ts";
import { type PolicyCalls, policyCalls } from "./policy-calls.ts";
import { type TenantCalls, tenantCalls } from "./tenant-calls.ts";
import { type TokenCalls, tokenCalls } from "./token-calls.ts";
import type { CallUnary, Unary } from "./unary.ts";
import { type ConnectionOptions, createConnector } from "./connection.ts";
import { type KeepAliveStream, openKeepAlive } from "./keep-alive.ts";
import { type CallOptions, type Metadata, createTransport } from "./transport.ts";
import { type WatchStream, openWatch } from "./watch.ts";

export interface ClientOptions extends ConnectionOptions {
  /** A bearer JWT. A function is asked for each call, so that tokens can be renewed. */
  readonly token?: string | (() => string) | undefined;
  /** The tenant to work in, for those who may work in several. */
  readonly tenant?: string | undefined;
  /**
   * Ask only members that know a leader: others refuse with `no-leader`, and end streams with it once
   * they have been without one for a while (etcd's WithRequireLeader).
   */
  readonly requireLeader?: boolean | undefined;
  /** Default for unary calls, in milliseconds; 7000 is what etcd's server allows itself. */
  readonly timeoutMs?: number | undefined;
}

/** Every call rejects with CofferError and nothing else, and leaves the client usable. */
export interface Client
  extends
    TenantCalls,
    PolicyCalls,
    TokenCalls,
    IssuerCalls,
    CertificateCalls,
    HistoryCalls,
    AuditCalls,
    AsyncDisposable {
  readonly range: Unary<rpc.RangeRequest, rpc.RangeResponse>;
  readonly put: Unary<rpc.PutRequest, rpc.PutResponse>;
  readonly deleteRange: Unary<rpc.DeleteRangeRequest, rpc.DeleteRangeResponse>;
  readonly txn: Unary<rpc.TxnRequest, rpc.TxnResponse>;
  readonly compact: Unary<rpc.CompactionRequest, rpc.CompactionResponse>;

  readonly leaseGrant: Unary<rpc.LeaseGrantRequest, rpc.LeaseGrantResponse>;
  readonly leaseRevoke: Unary<rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse>;
  readonly leaseTimeToLive: Unary<rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse>;
  readonly leaseLeases: Unary<rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse>;

  readonly status: Unary<rpc.StatusRequest, rpc.StatusResponse>;
  readonly alarm: Unary<rpc.AlarmRequest, rpc.AlarmResponse>;
  readonly moveLeader: Unary<rpc.MoveLeaderRequest, rpc.MoveLeaderResponse>;
  readonly hashKv: Unary<rpc.HashKVRequest, rpc.HashKVResponse>;
  readonly memberAdd: Unary<rpc.MemberAddRequest, rpc.MemberAddResponse>;
  readonly memberRemove: Unary<rpc.MemberRemoveRequest, rpc.MemberRemoveResponse>;
  readonly memberUpdate: Unary<rpc.MemberUpdateRequest, rpc.MemberUpdateResponse>;
  readonly memberPromote: Unary<rpc.MemberPromoteRequest, rpc.MemberPromoteResponse>;
  readonly memberList: Unary<rpc.MemberListRequest, rpc.MemberListResponse>;
  readonly clusterStatus: Unary<clusterApi.ClusterStatusRequest, clusterApi.ClusterStatusResponse>;
  readonly healthCheck: Unary<health.HealthCheckRequest, health.HealthCheckResponse>;

  watch(options?: CallOptions): WatchStream;
  keepAlive(options?: CallOptions): KeepAliveStream;
  /** Lets open unary calls end; streams must be closed by their owner. */
  close(): Promise<void>;
}

export type KeyValue = mvcc.KeyValue;

const TIMEOUT_MS = 7000;

/** A client of the API. Connects when first used, and again whenever the connection broke. */
export function connect(options: ClientOptions): Client {
  const connector = createConnector(options);
  const transport = createTransport(connector, metadataOf(options));
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const call: CallUnary = (path, request, response) => async (fields, callOptions) => {
    const message = request.encode(request.create(fields)).finish();
    return response.decode(await transport.unary(path, message, { timeoutMs, ...callOptions }));
  };
  return {
    ...kvCalls(call),
    ...leaseCalls(call),
    ...memberCalls(call),
    ...maintenanceCalls(call),
    ...tenantCalls(call),
    ...policyCalls(call),
    ...tokenCalls(call),
    ...issuerCalls(call),
    ...certificateCalls(call),
    ...historyCalls(call),
    ...auditCalls(call),
    watch: (callOptions = {}) =>
      openWatch(transport.open("/etcdserverpb.Watch/Watch", callOptions)),
    keepAlive: (callOptions = {}) =>
      openKeepAlive(transport.open("/etcdserverpb.Lease/LeaseKeepAlive", callOptions)),
    close: () => connector.close(),
    [Symbol.asyncDispose]: () => connector.close(),
  };
}

function metadataOf({ token, tenant, requireLeader }: ClientOptions): Metadata {
  return () => {
    const text = typeof token === "function" ? token() : token;
    return {
      ...(text === undefined ? {} : { authorization: `Bearer ${text.trim()}` }),
      ...(tenant === undefined ? {} : { "coffer-tenant": tenant }),
      ...(requireLeader === true ? { hasleader: "true" } : {}),
    };
  };
}

function kvCalls(
  call: CallUnary,
): Pick<Client, "range" | "put" | "deleteRange" | "txn" | "compact"> {
  const kv = "/etcdserverpb.KV/";
  return {
    range: call(`${kv}Range`, rpc.RangeRequest, rpc.RangeResponse),
    put: call(`${kv}Put`, rpc.PutRequest, rpc.PutResponse),
    deleteRange: call(`${kv}DeleteRange`, rpc.DeleteRangeRequest, rpc.DeleteRangeResponse),
    txn: call(`${kv}Txn`, rpc.TxnRequest, rpc.TxnResponse),
    compact: call(`${kv}Compact`, rpc.CompactionRequest, rpc.CompactionResponse),
  };
}

function leaseCalls(
  call: CallUnary,
): Pick<Client, "leaseGrant" | "leaseRevoke" | "leaseTimeToLive" | "leaseLeases"> {
  const lease = "/etcdserverpb.Lease/";
  return {
    leaseGrant: call(`${lease}LeaseGrant`, rpc.LeaseGrantRequest, rpc.LeaseGrantResponse),
    leaseRevoke: call(`${lease}LeaseRevoke`, rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse),
    leaseTimeToLive: call(
      `${lease}LeaseTimeToLive`,
      rpc.LeaseTimeToLiveRequest,
      rpc.LeaseTimeToLiveResponse,
    ),
    leaseLeases: call(`${lease}LeaseLeases`, rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse),
  };
}

type MemberCalls =
  "memberAdd" | "memberRemove" | "memberUpdate" | "memberPromote" | "memberList" | "clusterStatus";

function memberCalls(call: CallUnary): Pick<Client, MemberCalls> {
  const c = "/etcdserverpb.Cluster/Member";
  return {
    memberAdd: call(`${c}Add`, rpc.MemberAddRequest, rpc.MemberAddResponse),
    memberRemove: call(`${c}Remove`, rpc.MemberRemoveRequest, rpc.MemberRemoveResponse),
    memberUpdate: call(`${c}Update`, rpc.MemberUpdateRequest, rpc.MemberUpdateResponse),
    memberPromote: call(`${c}Promote`, rpc.MemberPromoteRequest, rpc.MemberPromoteResponse),
    memberList: call(`${c}List`, rpc.MemberListRequest, rpc.MemberListResponse),
    clusterStatus: call(
      "/coffer.v1.Cluster/Status",
      clusterApi.ClusterStatusRequest,
      clusterApi.ClusterStatusResponse,
    ),
  };
}

function maintenanceCalls(
  call: CallUnary,
): Pick<Client, "status" | "alarm" | "moveLeader" | "hashKv" | "healthCheck"> {
  const maintenance = "/etcdserverpb.Maintenance/";
  return {
    status: call(`${maintenance}Status`, rpc.StatusRequest, rpc.StatusResponse),
    alarm: call(`${maintenance}Alarm`, rpc.AlarmRequest, rpc.AlarmResponse),
    moveLeader: call(`${maintenance}MoveLeader`, rpc.MoveLeaderRequest, rpc.MoveLeaderResponse),
    hashKv: call(`${maintenance}HashKV`, rpc.HashKVRequest, rpc.HashKVResponse),
    healthCheck: call(
      "/grpc.health.v1.Health/Check",
      health.HealthCheckRequest,
      health.HealthCheckResponse,
    ),
  };
}
