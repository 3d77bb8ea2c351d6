import type { ClientConfig } from "../config/mod.ts";
import type {
  Actor,
  ClusterId,
  DeleteRangeRequest,
  DeleteRangeResult,
  HistoryItem,
  Key,
  LeaseId,
  MemberId,
  MemberInfo,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  Revision,
  TenantInfo,
  TxnRequest,
  TxnResult,
  WatchCreateRequest,
  WatchResponse,
} from "../core/types/mod.ts";

/** What the commands need of a cluster. All methods reject with CofferError. */
export interface CofferClient extends TenantPort, PolicyPort, TokenPort, HistoryPort, AuditPort {
  range(request: RangeRequest): Promise<Reply<RangeResult>>;
  put(request: PutRequest): Promise<Reply<PutResult>>;
  deleteRange(request: DeleteRangeRequest): Promise<Reply<DeleteRangeResult>>;
  txn(request: TxnRequest): Promise<Reply<TxnResult>>;
  compact(request: {
    readonly revision: number;
    readonly physical: boolean;
  }): Promise<Reply<undefined>>;
  /** Ends when the watch is cancelled or `signal` aborts. */
  watch(request: WatchCreateRequest, signal: AbortSignal): AsyncIterable<Reply<WatchResponse>>;

  /** Seconds. */
  leaseGrant(ttl: number): Promise<Reply<{ readonly id: LeaseId; readonly ttl: number }>>;
  leaseRevoke(id: LeaseId): Promise<Reply<undefined>>;
  /** `ttl` 0: the lease is gone. */
  leaseKeepAlive(id: LeaseId): Promise<Reply<{ readonly ttl: number }>>;
  leaseTimeToLive(id: LeaseId, keys: boolean): Promise<Reply<LeaseTimeToLive>>;
  leaseLeases(): Promise<Reply<readonly LeaseId[]>>;

  status(): Promise<Reply<MemberStatus>>;
  /** All members, asked by the one that answers. */
  clusterStatus(): Promise<Reply<readonly FleetMember[]>>;
  memberList(): Promise<Reply<readonly MemberInfo[]>>;
  memberAdd(request: {
    readonly peerUrls: readonly string[];
    readonly isLearner: boolean;
  }): Promise<Reply<{ readonly member: MemberInfo; readonly members: readonly MemberInfo[] }>>;
  memberRemove(id: MemberId): Promise<Reply<readonly MemberInfo[]>>;
  memberUpdate(request: {
    readonly id: MemberId;
    readonly peerUrls: readonly string[];
  }): Promise<Reply<readonly MemberInfo[]>>;
  memberPromote(id: MemberId): Promise<Reply<readonly MemberInfo[]>>;
  /** Only the leader takes it. */
  moveLeader(target: MemberId): Promise<void>;

  close(): Promise<void>;
}

/** Tenants of the cluster. */
export interface TenantPort {
  tenantCreate(request: {
    readonly name: string;
    readonly owner: string;
  }): Promise<Reply<TenantInfo>>;
  tenantList(): Promise<Reply<readonly TenantInfo[]>>;
  tenantShow(name: string): Promise<Reply<TenantInfo>>;
  tenantDelete(name: string): Promise<Reply<undefined>>;
}

/** Who may do what in the tenant. */
export interface PolicyPort {
  policyList(): Promise<
    Reply<{ readonly policyRevision: number; readonly rows: readonly PolicyRow[] }>
  >;
  policyChange(request: {
    readonly add: readonly PolicyRow[];
    readonly remove: readonly PolicyRow[];
  }): Promise<Reply<{ readonly policyRevision: number }>>;
  policyAsk(
    question: PolicyQuestion,
  ): Promise<Reply<{ readonly allowed: boolean; readonly row: PolicyRow | undefined }>>;
}

/** Credentials. */
export interface TokenPort {
  tokenIssue(
    request: TokenRequest,
  ): Promise<Reply<{ readonly token: string; readonly expires: number }>>;
  whoAmI(): Promise<
    Reply<{ readonly actor: Actor; readonly tenant: string; readonly groups: readonly string[] }>
  >;
}

/** What a key has been. */
export interface HistoryPort {
  history(request: {
    readonly key: Key;
    readonly before: number;
    readonly limit: number;
  }): Promise<Reply<readonly HistoryItem[]>>;
}

/** What happened. */
export interface AuditPort {
  /** Canonical JSON lines, oldest first. */
  auditTail(query: AuditQuery): Promise<Reply<readonly string[]>>;
}

/** Opens a client; connecting may wait for the first request. */
export type Connect = (config: ClientConfig) => Promise<CofferClient>;

export interface ReplyHeader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly revision: Revision;
  readonly term: number;
}

export interface Reply<T> {
  readonly header: ReplyHeader;
  readonly body: T;
}

/** `remaining` is below 0 when the lease is gone. Seconds. */
export interface LeaseTimeToLive {
  readonly grantedTtl: number;
  readonly remaining: number;
  readonly keys: readonly Key[];
}

export interface MemberStatus {
  readonly version: string;
  /** "" from a server that is not Coffer. */
  readonly cofferVersion: string;
  /** Bytes. */
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly leader: MemberId;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly raftAppliedIndex: number;
  readonly isLearner: boolean;
  readonly errors: readonly string[];
}

/** One member as the one that was asked sees it. */
export interface FleetMember {
  readonly id: MemberId;
  /** "" before its first start. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
  /** What it says of itself; undefined: it did not answer. */
  readonly report: FleetReport | undefined;
  /** Microseconds between the two; 0: not measured. */
  readonly roundTripUs: number;
}

export interface FleetReport {
  /** Coffer's. */
  readonly version: string;
  readonly leader: MemberId;
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly raftAppliedIndex: number;
  /** Bytes. */
  readonly dbSize: number;
  readonly dbSizeInUse: number;
}

/** `["p", subject, object, action, effect]` or `["g", member, role]`. */
export type PolicyRow = readonly string[];

export interface PolicyQuestion {
  /** "": the caller. */
  readonly subject: string;
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
}

export interface TokenRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tenants: readonly string[];
  readonly ttlSeconds: number;
}

export interface AuditQuery {
  readonly limit: number;
  readonly afterSeq: number;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
}
