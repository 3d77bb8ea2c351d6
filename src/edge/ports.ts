import type { ErrorCode } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import type {
  Key,
  KeyRange,
  LeaseId,
  MemberId,
  RecordChange,
  StoredRecord,
  TenantId,
  TxnRequest,
} from "../core/types/mod.ts";
import type { AuditQuery } from "./audit-requests.ts";
import type { PolicyRow } from "./policy-requests.ts";
import type { PeerCertificate } from "./requests.ts";
import type { TokenRequest } from "./token-requests.ts";

/** What the edge needs of the rooms beside it; main.ts wires the real ones. */

/** A caller whose credentials have been verified. */
export interface Principal {
  /** `user:alice`, `sa:ns/name`, `cert:cn`. */
  readonly subject: string;
  readonly groups: readonly string[];
  readonly issuer: string;
  /** The name of the tenant that this request is for. */
  readonly tenant: string;
  /** Names of all tenants its credentials are bound to; "*" for the cluster's operators. */
  readonly tenants: readonly string[] | "*";
  /** Milliseconds since the epoch after which the credentials are worth nothing. */
  readonly expires?: number | undefined;
  readonly tokenId?: string | undefined;
}

export interface Credentials {
  readonly authorization: string | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly tenantName: string | undefined;
}

export interface IdentityPort {
  /** Synchronous for what has been verified already. Throws or rejects with CofferError. */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
}

export type Action = "read" | "list" | "watch" | "write" | "delete" | "lease" | "admin";

/** What `admin` can be about: its objects are these names instead of keys (policies/). */
export type AdminMatter =
  | "audit/read"
  | "compact"
  | "member/change"
  | "member/move-leader"
  | "policy/change"
  | "policy/read"
  | "tenant/create"
  | "tenant/delete"
  | "tenant/read"
  | "token/issue";

export interface Decision {
  readonly allowed: boolean;
  /** The policy revision of the tenant that this was decided at. */
  readonly policyRevision: number;
  /** The row that decided, if one did. */
  readonly row?: PolicyRow | undefined;
}

export interface Subject {
  readonly subject: string;
  readonly groups: readonly string[];
}

export interface AccessPort {
  check(subject: Subject, tenant: TenantId, action: Action, range: KeyRange): Decision;
  /** Whether any allow row of the tenant reaches the subject. */
  hasGrant(subject: Subject, tenant: TenantId): boolean;
  /**
   * The record changes that add and remove rows of a scope that now holds `current`. Throws
   * `invalid-argument` naming the row and the reason, and `not-found` for a row that is not there.
   */
  planPolicyChange(
    current: readonly PolicyRow[],
    change: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
  ): readonly RecordChange[];
  rowOf(record: StoredRecord): PolicyRow;
  /** The rows a new tenant starts with. */
  seedRows(owner: string): readonly PolicyRow[];
}

export interface SealPort {
  seal(tenant: TenantId, key: Key, plaintext: Uint8Array): Uint8Array;
  open(tenant: TenantId, key: Key, record: Uint8Array): Uint8Array;
  newTenantKeys(tenant: TenantId): readonly RecordChange[];
}

export type Outcome = "ok" | "refused" | "failed";

export interface AuditEvent {
  readonly tenant: string;
  /** The tenant's revision the request saw or made; 0 if it reached none. */
  readonly revision: number;
  readonly policyRevision: number;
  readonly requestId: string;
  readonly issuer: string;
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tokenId: string;
  readonly certThumbprint: string;
  readonly peerAddress: string;
  readonly action: string;
  readonly key: string;
  readonly rangeEnd: string;
  /** What was asked of the policy; see rights.ts. */
  readonly rights: readonly (readonly string[])[];
  readonly outcome: Outcome;
  readonly reason: string;
}

export interface AuditPort {
  /** Resolves once the record is in the file; rejects with `audit-blocked`. */
  append(event: AuditEvent): Promise<void>;
  /** Why nothing can be recorded now; `undefined`: all is well. */
  readonly blocked: string | undefined;
  tail(query: AuditQuery & { readonly tenant: string }): Promise<readonly string[]>;
}

export interface TokenPort {
  /** Signs a token of the built-in issuer. */
  issue(
    request: TokenRequest,
  ): Promise<{ readonly token: string; readonly expires: number; readonly tokenId: string }>;
}

/** The random draws of the edge, injected so that tests can replay them. */
export interface EdgeRandom {
  leaseId(): LeaseId;
  memberId(): MemberId;
  tenantId(): TenantId;
}

export interface EdgeLimits {
  /** etcd's --max-txn-ops. */
  readonly txnOpsMax: number;
  readonly requestBytesMax: number;
  /** Bytes of state past which writes are refused with `no-space`. */
  readonly quotaBytes: number;
  readonly keyBytesMax: number;
  /** Seconds: etcd's ceil(1.5 x election timeout). */
  readonly leaseTtlMin: number;
  /** Milliseconds that a request may wait for the cluster. */
  readonly requestTimeoutMs: number;
  /** Milliseconds without a leader after which streams that need one end. */
  readonly leaderLossMs: number;
}

export interface EdgeVersions {
  readonly etcd: string;
  readonly storage: string;
  readonly coffer: string;
}

/** The way to one other member. */
export interface PeerLink {
  readonly name: string;
  /** Milliseconds, as last measured. */
  readonly roundTripMs: number | undefined;
}

/** One point of a tenant's hash chain. */
export interface ChainPoint {
  readonly revision: number;
  readonly hash: Uint8Array;
}

/**
 * The chain at `revision`, 0 for the latest, and where it can be checked from; undefined if that
 * revision is compacted, in the future, or of no tenant.
 */
export type ChainAt = (
  tenant: TenantId,
  revision: number,
) => { readonly at: ChainPoint; readonly compacted: ChainPoint } | undefined;

/** The shape rules of a transaction (core/mvcc), asked before anything is read or sealed. */
export type CheckTxn = (request: TxnRequest, opsMax: number) => ErrorCode | undefined;

export type { Clock };
