import type { ClientConfig } from "../config/mod.ts";
import type {
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
  TenantCompaction,
  TenantInfo,
  TenantLimits,
  TxnRequest,
  TxnResult,
  WatchCreateRequest,
  WatchResponse,
} from "../core/types/mod.ts";
import type { CertificatePort } from "./certificate-port.ts";
import type { IssuerPort, TokenPort } from "./token-port.ts";

/** What the commands need of a cluster. All methods reject with CofferError. */
export interface CofferClient
  extends TenantPort, PolicyPort, TokenPort, IssuerPort, CertificatePort, HistoryPort, AuditPort {
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
    /** "": the caller. */
    readonly owner: string;
    readonly limits: TenantLimits;
    readonly compaction: TenantCompaction;
  }): Promise<Reply<TenantRow>>;
  /** All that the caller may see, by name. */
  tenantList(): Promise<Reply<readonly TenantRow[]>>;
  tenantShow(name: string): Promise<Reply<TenantRow>>;
  /** What is left out stays. */
  tenantUpdate(request: TenantChange): Promise<Reply<TenantRow>>;
  tenantDelete(name: string): Promise<Reply<undefined>>;
}

/** A tenant, and what it does on the member that answers. */
export interface TenantRow extends TenantInfo {
  readonly watches: number;
  readonly requestsRefused: number;
}

export interface TenantChange {
  readonly name: string;
  readonly newName?: string;
  readonly suspended?: boolean;
  /** A number sets a limit, undefined takes it away. */
  readonly limits?: LimitChanges;
  readonly compaction?: TenantCompaction;
}

export type LimitChanges = { readonly [limit in keyof TenantLimits]?: number | undefined };

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
  policyWhoCan(question: WhoCanQuestion): Promise<Reply<WhoCanAnswer>>;
  policyExplain(question: PolicyQuestion): Promise<Reply<PolicyExplanation>>;
  /** `last`: how many of the newest records; 0: the server's default. */
  policyTry(request: {
    readonly add: readonly PolicyRow[];
    readonly remove: readonly PolicyRow[];
    readonly last: number;
  }): Promise<Reply<PolicyTrial>>;
}

/** What a key has been. */
export interface HistoryPort {
  history(request: {
    readonly key: Key;
    readonly before: number;
    readonly limit: number;
    readonly values: boolean;
  }): Promise<Reply<HistoryPage>>;
}

/** What happened. */
export interface AuditPort {
  /** One page of the records of the member that is asked. */
  auditSearch(search: AuditSearch): Promise<Reply<AuditFound>>;
  /** Signed places in the chains of all members: JSON, one each. */
  auditCheckpoints(): Promise<Reply<readonly string[]>>;
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
  /** Of a subject that is named. */
  readonly groups: readonly string[];
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
}

export interface WhoCanQuestion {
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
  /** Only subjects behind this one. */
  readonly after: string;
}

export interface WhoCanAnswer {
  readonly holders: readonly { readonly subject: string; readonly row: PolicyRow }[];
  readonly more: boolean;
  /** What to ask on after. */
  readonly next: string;
  readonly policyRevision: number;
}

export interface PolicyExplanation {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly allowed: boolean;
  /** `row-allows`, `row-denies`, `no-row-allows`, `malformed-question`. */
  readonly reason: string;
  readonly grounds: readonly { readonly row: PolicyRow; readonly via: readonly string[] }[];
  /** With `no-row-allows`: the first keys that no row allows; an empty end: one key. */
  readonly missing: { readonly key: Key; readonly rangeEnd: Key };
}

export interface PolicyTrial {
  readonly problems: readonly string[];
  readonly records: number;
  readonly judged: number;
  readonly moved: number;
  readonly cut: number;
  /** Milliseconds since the epoch. */
  readonly oldest: number;
  readonly changes: readonly PolicyTrialChange[];
  readonly changesTotal: number;
  readonly locksOut: boolean;
}

export interface PolicyTrialChange {
  readonly subject: string;
  readonly groups: readonly string[];
  /** As in the audit log. */
  readonly action: string;
  readonly key: Key;
  readonly rangeEnd: Key;
  readonly allowedNow: boolean;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

/** One revision of a key; its value is empty unless it was asked for and may be read. */
export interface HistoryEntry extends HistoryItem {
  readonly valueBytes: number;
}

export interface HistoryPage {
  /** Newest first. */
  readonly items: readonly HistoryEntry[];
  readonly more: boolean;
  /** Values were asked for, and the caller may not read them. */
  readonly valuesWithheld: boolean;
}

/** "" and 0 do not filter. */
export interface AuditSearch {
  readonly limit: number;
  readonly oldestFirst: boolean;
  /** `next` or `end` of an answer of the same member; "": from the first record. */
  readonly cursor: string;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
  readonly requestId: string;
  readonly keyPrefix: Key;
  /** Milliseconds since the epoch: from the first, before the second. */
  readonly fromTime: number;
  readonly toTime: number;
  /** For operators in the system scope: name or id of one tenant. */
  readonly tenant: string;
}

export interface AuditFound {
  /** JSON, in the order asked for. */
  readonly lines: readonly string[];
  readonly next: string;
  readonly done: boolean;
  /** Where records will be that are written later. */
  readonly end: string;
}
