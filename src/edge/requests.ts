import type {
  ClusterId,
  DeleteRangeRequest,
  DeleteRangeResult,
  LeaseId,
  LeaseInfo,
  MemberId,
  MemberInfo,
  PutRequest,
  PutResult,
  RangeRequest,
  RangeResult,
  Revision,
  TxnRequest,
  TxnResult,
  WatchCreateRequest,
  WatchResponse,
} from "../core/types/mod.ts";
import type { CofferError } from "../errors.ts";
import type { AuditEdge } from "./audit-requests.ts";
import type { CertificateRuleEdge } from "./certificate-rule-requests.ts";
import type { HistoryEdge } from "./history-requests.ts";
import type { IssuerEdge } from "./issuer-requests.ts";
import type { PolicyEdge } from "./policy-requests.ts";
import type { RevocationEdge } from "./revocation-requests.ts";
import type { TenantEdge } from "./tenant-requests.ts";
import type { TokenEdge } from "./token-requests.ts";

/** Plain requests and replies of the one gate; every protocol translates to and from these. */

/** The verified client certificate of a TLS connection. */
export interface PeerCertificate {
  /** DER bytes. */
  readonly raw: Uint8Array;
  /** SHA-256 of `raw`, base64url without padding: RFC 8705 x5t#S256. */
  readonly thumbprint: string;
}

/** Who calls, as the protocol carried it; nothing in here has been checked but the TLS handshake. */
export interface Caller {
  /** The raw `authorization` (or etcd `token`) metadata. */
  readonly authorization: string | undefined;
  /** Metadata `coffer-tenant`: a tenant's name. */
  readonly tenantName: string | undefined;
  readonly peerAddress: string;
  readonly certificate: PeerCertificate | undefined;
  /**
   * Drawn by the protocol room, behind what metadata `x-request-id` says if it does: two requests never
   * have the same, whatever clients send.
   */
  readonly requestId: string;
  readonly userAgent: string;
  /** Metadata `hasleader: true`. */
  readonly requireLeader: boolean;
  /** Undefined where each request has one of its own. */
  readonly connection?: CallerConnection | undefined;
}

/** A connection that many requests come by. */
export interface CallerConnection {
  /** Whose requests came by it, noted by the edge; undefined: none yet, "": more than one scope's. */
  scope: string | undefined;
  /** Has the client ask no more than `streams` at once for some seconds, by means of the protocol. */
  slowDown(streams: number): void;
}

/** etcd's ResponseHeader. */
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

export interface StatusBody {
  /** The etcd version that is claimed, such as 3.6.14. */
  readonly version: string;
  readonly cofferVersion: string;
  readonly storageVersion: string;
  /** Bytes. */
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly dbSizeQuota: number;
  readonly leader: MemberId;
  readonly raftIndex: number;
  readonly raftTerm: number;
  readonly raftAppliedIndex: number;
  readonly isLearner: boolean;
  readonly errors: readonly string[];
}

/** One member as another one sees it. */
export interface MemberStatusBody {
  readonly id: MemberId;
  /** "" before its first start. */
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
  /** What it says of itself; undefined: it did not answer in time. */
  readonly report: MemberReportBody | undefined;
  /** Milliseconds there and back; undefined for the member that was asked. */
  readonly roundTripMs: number | undefined;
}

export interface MemberReportBody {
  /** Coffer's own version. */
  readonly version: string;
  /** 0n: none known. */
  readonly leader: MemberId;
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly raftAppliedIndex: number;
  /** Bytes. */
  readonly dbSize: number;
  readonly dbSizeInUse: number;
}

export type HealthCheck =
  "serializable-read" | "linearizable-read" | "data-corruption" | "space" | "audit" | "non-learner";

export interface HealthResult {
  readonly check: HealthCheck;
  /** `undefined`: healthy. */
  readonly failure: string | undefined;
}

/** One etcd watch stream. Responses are pulled, so that a slow reader costs bounded memory. */
export interface WatchSession {
  create(request: WatchCreateRequest): void;
  cancel(watchId: number): void;
  /** etcd's WatchProgressRequest. */
  progress(): void;
  /** The next response in order, or undefined if none waits. */
  next(): Reply<WatchResponse> | undefined;
  /** Called when `next` may have something again, or `ended` is set. */
  onReadable: () => void;
  /** Set when the stream is over from this side, such as `no-leader`. */
  readonly ended: CofferError | undefined;
  close(): void;
}

/** Every request of every protocol. All methods reject with CofferError and nothing else. */
export interface Edge
  extends
    TenantEdge,
    PolicyEdge,
    TokenEdge,
    RevocationEdge,
    IssuerEdge,
    CertificateRuleEdge,
    HistoryEdge,
    AuditEdge {
  range(caller: Caller, request: RangeRequest): Promise<Reply<RangeResult>>;
  put(caller: Caller, request: PutRequest): Promise<Reply<PutResult>>;
  deleteRange(caller: Caller, request: DeleteRangeRequest): Promise<Reply<DeleteRangeResult>>;
  txn(caller: Caller, request: TxnRequest): Promise<Reply<TxnResult>>;
  compact(
    caller: Caller,
    request: { readonly revision: number; readonly physical: boolean },
  ): Promise<Reply<undefined>>;

  watch(caller: Caller): Promise<WatchSession>;

  /** `ttl` in seconds; `id` 0 is drawn by the server. */
  leaseGrant(
    caller: Caller,
    request: { readonly id: LeaseId; readonly ttl: number },
  ): Promise<Reply<{ readonly id: LeaseId; readonly ttl: number }>>;
  leaseRevoke(caller: Caller, id: LeaseId): Promise<Reply<undefined>>;
  /** `ttl` 0: the lease is gone. */
  leaseKeepAlive(caller: Caller, id: LeaseId): Promise<Reply<{ readonly ttl: number }>>;
  /** `lease` undefined: gone. `remaining` in seconds. */
  leaseTimeToLive(
    caller: Caller,
    request: { readonly id: LeaseId; readonly keys: boolean },
  ): Promise<Reply<{ readonly lease: LeaseInfo | undefined; readonly remaining: number }>>;
  leaseLeases(caller: Caller): Promise<Reply<readonly LeaseId[]>>;

  status(caller: Caller): Promise<Reply<StatusBody>>;
  /** All members, asked by this one. */
  clusterStatus(caller: Caller): Promise<Reply<readonly MemberStatusBody[]>>;
  memberList(
    caller: Caller,
    request: { readonly linearizable: boolean },
  ): Promise<Reply<readonly MemberInfo[]>>;
  /** `members`: all, after the change. */
  memberAdd(
    caller: Caller,
    request: { readonly peerUrls: readonly string[]; readonly isLearner: boolean },
  ): Promise<Reply<{ readonly member: MemberInfo; readonly members: readonly MemberInfo[] }>>;
  memberRemove(
    caller: Caller,
    id: MemberId,
  ): Promise<Reply<{ readonly members: readonly MemberInfo[] }>>;
  memberUpdate(
    caller: Caller,
    request: { readonly id: MemberId; readonly peerUrls: readonly string[] },
  ): Promise<Reply<{ readonly members: readonly MemberInfo[] }>>;
  memberPromote(
    caller: Caller,
    id: MemberId,
  ): Promise<Reply<{ readonly members: readonly MemberInfo[] }>>;
  /** Rejects with `not-leader` unless this member leads. */
  moveLeader(caller: Caller, target: MemberId): Promise<Reply<undefined>>;
  /** `revision` 0: the latest. `compactRevision` -1: never compacted. */
  hashKv(
    caller: Caller,
    request: { readonly revision: number },
  ): Promise<
    Reply<{
      readonly hash: number;
      readonly compactRevision: number;
      readonly hashRevision: number;
    }>
  >;
  /**
   * Calls `lost` when a caller that asked for a leader has been without one for too long; the returned
   * function ends the wait. For streams that are many requests.
   */
  whileLeader(caller: Caller, lost: (error: CofferError) => void): () => void;
  /** The alarms that are raised. */
  alarms(
    caller: Caller,
  ): Promise<
    Reply<readonly { readonly member: MemberId; readonly alarm: "nospace" | "corrupt" }[]>
  >;
  /** Open to all who reach the port, as etcd's; tells nothing but health. */
  health(checks: readonly HealthCheck[]): Promise<readonly HealthResult[]>;
}
