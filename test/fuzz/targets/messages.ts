import {
  auditApi,
  clusterApi,
  historyApi,
  issuerApi,
  policyApi,
  rpc,
  tenantApi,
  tokenApi,
} from "../../../src/proto/mod.ts";

/** Good messages of what the client port offers, by path: what a fuzzer changes. */

interface Codec<T> {
  fromPartial(fields: Partial<T>): T;
  encode(message: T): { finish(): Uint8Array };
}

function sample<T>(codec: Codec<T>, fields: Partial<T>): Uint8Array {
  return codec.encode(codec.fromPartial(fields)).finish();
}

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const key = bytes("/fuzz/a");
const all = { key: bytes("/fuzz/"), rangeEnd: bytes("/fuzz0") };
const row = policyApi.PolicyRow.fromPartial({ fields: ["p", "user:eve", "*", "*", "allow"] });
const putOp: rpc.RequestOp = rpc.RequestOp.fromPartial({
  request: { $case: "requestPut", value: { key, value: bytes("v") } },
});
const deleteOp: rpc.RequestOp = rpc.RequestOp.fromPartial({
  request: { $case: "requestDeleteRange", value: all },
});
const nested: rpc.RequestOp = rpc.RequestOp.fromPartial({
  request: { $case: "requestTxn", value: { success: [putOp], failure: [deleteOp] } },
});
const compare = rpc.Compare.fromPartial({
  key,
  target: rpc.Compare_CompareTarget.VALUE,
  targetUnion: { $case: "value", value: bytes("v") },
});

const etcd = "/etcdserverpb.";
const own = "/coffer.v1.";

export const unaryMessages: readonly (readonly [path: string, message: Uint8Array])[] = [
  [`${etcd}KV/Range`, sample(rpc.RangeRequest, { ...all, limit: 3n, keysOnly: true })],
  [`${etcd}KV/Range`, sample(rpc.RangeRequest, { key, sortTarget: 4, sortOrder: 1 })],
  [`${etcd}KV/Put`, sample(rpc.PutRequest, { key, value: bytes("v"), prevKv: true })],
  [`${etcd}KV/Put`, sample(rpc.PutRequest, { key, lease: 7n, ignoreValue: true })],
  [`${etcd}KV/DeleteRange`, sample(rpc.DeleteRangeRequest, { ...all, prevKv: true })],
  [
    `${etcd}KV/Txn`,
    sample(rpc.TxnRequest, { compare: [compare], success: [putOp, nested], failure: [deleteOp] }),
  ],
  [`${etcd}KV/Compact`, sample(rpc.CompactionRequest, { revision: 1n, physical: true })],
  [`${etcd}Lease/LeaseGrant`, sample(rpc.LeaseGrantRequest, { TTL: 600n, ID: 7n })],
  [`${etcd}Lease/LeaseRevoke`, sample(rpc.LeaseRevokeRequest, { ID: 7n })],
  [`${etcd}Lease/LeaseTimeToLive`, sample(rpc.LeaseTimeToLiveRequest, { ID: 7n, keys: true })],
  [`${etcd}Lease/LeaseLeases`, new Uint8Array()],
  [`${etcd}Cluster/MemberList`, sample(rpc.MemberListRequest, { linearizable: true })],
  [`${etcd}Cluster/MemberAdd`, sample(rpc.MemberAddRequest, { peerURLs: ["https://m9:2380"] })],
  [`${etcd}Cluster/MemberRemove`, sample(rpc.MemberRemoveRequest, { ID: 1n })],
  [`${etcd}Maintenance/Status`, new Uint8Array()],
  [`${etcd}Maintenance/Alarm`, sample(rpc.AlarmRequest, { action: 1, alarm: 1, memberID: 1n })],
  [`${etcd}Maintenance/HashKV`, sample(rpc.HashKVRequest, { revision: 1n })],
  [`${etcd}Maintenance/MoveLeader`, sample(rpc.MoveLeaderRequest, { targetID: 1n })],
  [`${own}Cluster/Status`, sample(clusterApi.ClusterStatusRequest, {})],
  [
    `${own}Tenants/Create`,
    sample(tenantApi.TenantCreateRequest, { name: "eve", owner: "user:eve" }),
  ],
  [`${own}Tenants/List`, sample(tenantApi.TenantListRequest, { after: "a", limit: 5n })],
  [`${own}Tenants/Show`, sample(tenantApi.TenantShowRequest, { name: "guard" })],
  [
    `${own}Tenants/Update`,
    sample(tenantApi.TenantUpdateRequest, { name: "guard", suspended: true }),
  ],
  [`${own}Tenants/Delete`, sample(tenantApi.TenantDeleteRequest, { name: "guard" })],
  [`${own}Policies/List`, new Uint8Array()],
  [`${own}Policies/Change`, sample(policyApi.PolicyChangeRequest, { add: [row], remove: [row] })],
  [`${own}Policies/Ask`, sample(policyApi.PolicyAskRequest, { ...all, action: "read" })],
  [`${own}Policies/WhoCan`, sample(policyApi.PolicyWhoCanRequest, { ...all, action: "read" })],
  [`${own}Policies/Explain`, sample(policyApi.PolicyExplainRequest, { ...all, action: "write" })],
  [`${own}Policies/Try`, sample(policyApi.PolicyTryRequest, { add: [row], last: 10n })],
  [
    `${own}Tokens/Issue`,
    sample(tokenApi.TokenIssueRequest, { subject: "user:admin", ttlSeconds: 9n }),
  ],
  [`${own}Tokens/RotateKey`, sample(tokenApi.TokenRotateKeyRequest, { dropFormer: true })],
  [`${own}Tokens/Revocations`, sample(tokenApi.TokenRevocationsRequest, { after: "x" })],
  [`${own}Tokens/Unrevoke`, sample(tokenApi.TokenUnrevokeRequest, { id: "x" })],
  [`${own}Tokens/WhoAmI`, new Uint8Array()],
  [`${own}Issuers/Add`, sample(issuerApi.IssuerAddRequest, { record: bytes('{"version":1}') })],
  [`${own}Issuers/Remove`, sample(issuerApi.IssuerRemoveRequest, { issuer: "coffer" })],
  [`${own}History/List`, sample(historyApi.HistoryRequest, { key, limit: 5n, values: true })],
  [
    `${own}Audit/Search`,
    sample(auditApi.AuditSearchRequest, { limit: 5n, cursor: "x", action: "put" }),
  ],
  [`${own}Audit/Checkpoints`, new Uint8Array()],
  ["/grpc.health.v1.Health/Check", new Uint8Array()],
];

const create = { ...all, startRevision: 1n, prevKv: true, progressNotify: true, watchId: 3n };

export const streamMessages: readonly (readonly [path: string, message: Uint8Array])[] = [
  [
    `${etcd}Watch/Watch`,
    sample(rpc.WatchRequest, {
      requestUnion: { $case: "createRequest", value: rpc.WatchCreateRequest.fromPartial(create) },
    }),
  ],
  [
    `${etcd}Watch/Watch`,
    sample(rpc.WatchRequest, { requestUnion: { $case: "cancelRequest", value: { watchId: 3n } } }),
  ],
  [
    `${etcd}Watch/Watch`,
    sample(rpc.WatchRequest, { requestUnion: { $case: "progressRequest", value: {} } }),
  ],
  [`${etcd}Lease/LeaseKeepAlive`, sample(rpc.LeaseKeepAliveRequest, { ID: 7n })],
  ["/grpc.health.v1.Health/Watch", new Uint8Array()],
];
