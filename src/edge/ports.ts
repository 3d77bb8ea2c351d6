import type { CofferError, ErrorCode } from "../errors.ts";
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
import type { AuditFound, AuditSearch } from "./audit-requests.ts";
import type { AccessExplanation, PolicyRow } from "./policy-requests.ts";
import type { CertificateVerdict } from "./certificate-rule-requests.ts";
import type { PeerCertificate } from "./requests.ts";
import type { Revocation, RevocationTarget } from "./revocation-requests.ts";
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
  /** Seconds since the epoch, of a token or certificate. */
  readonly issuedAt?: number | undefined;
  /** The ids that its tenants' names had when it was issued, if it says so. */
  readonly tenantIds?: ReadonlyMap<string, string> | undefined;
  /** The issuer's record and key that judged the token: live until one is removed or changed. */
  readonly judgedBy?: { readonly live: boolean } | undefined;
}

export interface Credentials {
  readonly authorization: string | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly tenantName: string | undefined;
}

export interface IdentityPort {
  /** Synchronous for what has been verified already. Throws or rejects with CofferError. */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
  /**
   * Why credentials that were verified are not good any more in a scope: revoked, or of an issuer that is
   * gone, or of a certificate that other rules name otherwise; undefined: they are.
   */
  recheck(
    principal: Principal,
    certificate: PeerCertificate | undefined,
    scope: TenantId,
  ): CofferError | undefined;
  /**
   * Resolves once all is known that the state of this member revokes; undefined: it is. Only after all of
   * the state was replaced is there something to wait for.
   */
  readonly settling: Promise<void> | undefined;
  /** Calls back after more may be revoked in a scope; returns what ends it. */
  onRevoked(listener: (scope: TenantId) => void): () => void;
}

export type Action = "read" | "list" | "watch" | "write" | "delete" | "lease" | "admin";

/** What `admin` can be about: its objects are these names instead of keys (policies/). */
export type AdminMatter =
  | "audit/read"
  | "certificate-rule/change"
  | "certificate-rule/read"
  | "compact"
  | "member/change"
  | "member/move-leader"
  | "metrics/read"
  | "issuer/change"
  | "issuer/read"
  | "policy/change"
  | "policy/read"
  | "tenant/create"
  | "tenant/delete"
  | "tenant/read"
  | "tenant/update"
  | "token/issue"
  | "token/revoke"
  | "token/rotate-key";

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
  /** All rows after such a change. Throws likewise. */
  rowsAfter(
    current: readonly PolicyRow[],
    change: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
  ): readonly PolicyRow[];
  /** What is wrong with one row by itself. */
  faultOfRow(row: PolicyRow): string | undefined;
  /** A judge by rows that are not in force. */
  trial(tenant: TenantId, rows: readonly PolicyRow[]): Pick<AccessPort, "check" | "hasGrant">;
  explain(
    subject: Subject,
    tenant: TenantId,
    action: Action,
    range: KeyRange,
  ): Pick<AccessExplanation, "allowed" | "reason" | "grounds" | "missing">;
  /** Undefined for each subject that may not, so that the work can be spread over turns. */
  whoCan(
    tenant: TenantId,
    action: Action,
    range: KeyRange,
    after: string,
  ): Iterable<{ readonly subject: string; readonly row: PolicyRow } | undefined>;
  /** The rows a new tenant starts with. */
  seedRows(owner: string): readonly PolicyRow[];
}

export interface SealPort {
  seal(tenant: TenantId, key: Key, plaintext: Uint8Array): Uint8Array;
  open(tenant: TenantId, key: Key, record: Uint8Array): Uint8Array;
  /** Bytes of the value that is sealed in a record, without opening it. */
  valueBytes(record: Uint8Array): number;
  newTenantKeys(tenant: TenantId): readonly RecordChange[];
}

export type Outcome = "ok" | "refused" | "failed";

export interface AuditEvent {
  readonly tenant: string;
  /** The tenant's revision the request saw or made; 0 if it reached none. */
  readonly revision: number;
  readonly policyRevision: number;
  readonly requestId: string;
  /** The principal, or one of empty texts where none is known; written down once for all its requests. */
  readonly actor: Subject & { readonly issuer: string; readonly tokenId?: string | undefined };
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
  /**
   * One page of the records of `tenant`, in its view; undefined: of all, as they are. A cursor is good for
   * the scope that asked only, and tells it nothing.
   */
  search(
    search: AuditSearch,
    whose: { readonly tenant: TenantId | undefined; readonly asker: TenantId },
  ): Promise<AuditFound>;
}

/** A request as its audit record tells it. */
export interface RecordedRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly action: string;
  /** Byte strings. */
  readonly key: string;
  readonly rangeEnd: string;
  readonly outcome: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** See rights.ts; undefined if the record had no room for all of them, or for a key. */
  readonly rights: readonly (readonly string[])[] | undefined;
}

export interface TokenPort {
  /** Signs a token of the built-in issuer. `tenantIds`: by name. */
  issue(
    request: TokenRequest & { readonly tenantIds: Readonly<Record<string, string>> },
  ): Promise<{ readonly token: string; readonly expires: number; readonly tokenId: string }>;
  /** The changes after which a new key signs. Applying them answers `not-found` if another was first. */
  planRotation(
    dropFormer: boolean,
  ): Promise<{ readonly keyId: string; readonly changes: readonly RecordChange[] }>;
}

export interface RevocationPort {
  /**
   * The changes that revoke `target` in a scope, given what it holds. Throws `invalid-argument`, and
   * `quota-exceeded` past `recordsMax`.
   */
  plan(
    scope: TenantId,
    order: {
      readonly target: RevocationTarget;
      readonly by: string;
      /** Milliseconds since the epoch; undefined: unknown. */
      readonly certificateEnds: number | undefined;
      readonly recordsMax: number;
    },
  ): { readonly revoked: Revocation; readonly changes: readonly RecordChange[] };
  /** Of all revocations of a scope. */
  ids(scope: TenantId): readonly string[];
  /** undefined: of a newer version. */
  read(record: StoredRecord): Revocation | undefined;
}

export interface CertificateRulePort {
  /**
   * The rule in JSON as it is to be stored, with the authority of that thumbprint if it is not "".
   * Throws `invalid-argument` naming the field.
   */
  check(
    record: Uint8Array,
    authority: string,
  ): { readonly name: string; readonly data: Uint8Array };
  /** The name of another rule that the same certificates meet. */
  twinOf(data: Uint8Array, others: readonly Uint8Array[]): string | undefined;
  /** Who a certificate (DER) would be under these rules. */
  judge(certificate: Uint8Array, rules: readonly Uint8Array[]): CertificateVerdict;
}

export interface IssuerPort {
  /** The name of the built-in issuer. */
  readonly builtin: string;
  /** The record in JSON as it is to be stored. Throws `invalid-argument` naming the field. */
  check(record: Uint8Array): { readonly issuer: string; readonly data: Uint8Array };
  /** Whether this member's configuration has a record of its own for the issuer. */
  isConfigured(issuer: string): boolean;
  /** What this member knows of its keys; undefined: its record is not in use. */
  keys(issuer: string): { readonly keys: number; readonly failure: string | undefined } | undefined;
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
