import type { Actor, KeyValue } from "./key-value.ts";
import type { Key, LeaseId, Revision, TenantId } from "./ids.ts";
import type {
  DeleteRangeRequest,
  DeleteRangeResult,
  Guard,
  PutRequest,
  TxnRequest,
  TxnResult,
} from "./requests.ts";
import type { MemberCommand, MemberInfo } from "./member.ts";
import type { LimitChanges, TenantCompaction, TenantLimits } from "./tenant.ts";
import type { ErrorCode } from "../../errors.ts";

/**
 * What a log entry asks the state machine to do. Everything that changes state is one of these
 * (design idea I4); applying is deterministic, so a command carries all it needs: sealed values and
 * drawn ids. The time is that of the entry, as the leader's clock has it.
 */
export interface Proposal {
  /** The tenant whose state changes, or CLUSTER_SCOPE. */
  readonly tenant: TenantId;
  /**
   * The policy revision of the tenant that the request was checked against; apply answers
   * `stale-policy` if it has moved. `undefined`: not subject to policy (the cluster's own work).
   */
  readonly policyRevision: number | undefined;
  /**
   * `StateReader.credentialRevision` as it was when the caller's credentials were found good; apply
   * answers `stale-credentials` if it has moved. `undefined`: nobody's credentials were asked for (the
   * cluster's own work, and entries of before there was such a number).
   */
  readonly credentialRevision?: number | undefined;
  readonly actor: Actor;
  readonly command: Command;
}

export type Command =
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "delete-range"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest; readonly guards: readonly Guard[] }
  | { readonly kind: "compact"; readonly revision: number }
  /** `ttl` in seconds, already raised to the minimum; `id` already drawn. */
  | { readonly kind: "lease-grant"; readonly id: LeaseId; readonly ttl: number }
  /** `cause` "expired" is proposed by the leader and holds only if the lease clock has passed it. */
  | { readonly kind: "lease-revoke"; readonly id: LeaseId; readonly cause: "revoked" | "expired" }
  | { readonly kind: "lease-renew"; readonly id: LeaseId }
  | {
      readonly kind: "tenant-create";
      readonly id: TenantId;
      readonly name: string;
      /** Records of the new tenant's scope: wrapped keys and seed policies. */
      readonly records: readonly RecordChange[];
      readonly limits?: TenantLimits;
      readonly compaction?: TenantCompaction;
    }
  /**
   * Renames, suspends or resumes a tenant, or gives it other limits or another compaction; what is left
   * out stays, each limit by itself. In the cluster's scope. Refused with `not-found`, `already-exists`
   * (the name) or `invalid-argument`.
   */
  | {
      readonly kind: "tenant-update";
      readonly id: TenantId;
      readonly name?: string;
      readonly suspended?: boolean;
      readonly limits?: LimitChanges;
      readonly compaction?: TenantCompaction;
    }
  | { readonly kind: "tenant-delete"; readonly id: TenantId }
  /** Changes records of the proposal's scope, all or none. */
  | { readonly kind: "records"; readonly changes: readonly RecordChange[] }
  /**
   * What each member announces of itself when it starts. Of a member that is known already, only its
   * name and client URLs: the rest belongs to whoever administers the cluster. Without a name it is the
   * row that a new cluster keeps for a first member. Refused with `member-not-found` once the member has
   * been removed.
   */
  | { readonly kind: "member"; readonly member: MemberInfo }
  | MemberCommand;

/**
 * Small typed state beside the keys. The core stores the bytes and does not read them; the room named
 * owns their form.
 *
 * - `policy`: access; changing one moves the scope's policy revision.
 * - `wrapped-key`: seal. `issuer`, `revocation`: identity; cluster scope.
 * - `certificate-rule`: identity; cluster scope.
 * - `checkpoint`: audit. `setting`: any (cluster id, quotas).
 * - `former-tenant`: written by the core itself, in the cluster's scope, when a tenant gives a name
 *   up: its id is the name, its data the decimal milliseconds of the entry's time, of the latest if
 *   there were several.
 */
export type RecordTable =
  | "policy"
  | "wrapped-key"
  | "issuer"
  | "revocation"
  | "checkpoint"
  | "setting"
  | "former-tenant"
  | "certificate-rule";

export interface RecordChange {
  readonly table: RecordTable;
  readonly id: string;
  /** `undefined` removes the record. */
  readonly data: Uint8Array | undefined;
  /** What must be there for the change to happen: "absent", "present", or either. */
  readonly expect: "absent" | "present" | "any";
}

/** The answer to one proposal. `revision` is the tenant's after it. */
export type ApplyResult =
  | { readonly kind: "put"; readonly revision: Revision; readonly prevKv: KeyValue | undefined }
  | {
      readonly kind: "delete-range";
      readonly revision: Revision;
      readonly response: DeleteRangeResult;
    }
  | { readonly kind: "txn"; readonly revision: Revision; readonly response: TxnResult }
  | { readonly kind: "compact"; readonly revision: Revision }
  | { readonly kind: "lease-grant"; readonly revision: Revision }
  | { readonly kind: "lease-revoke"; readonly revision: Revision }
  /** `ttl`: the granted one, in seconds; 0 when the lease is gone. */
  | { readonly kind: "lease-renew"; readonly revision: Revision; readonly ttl: number }
  /** For tenant, records and member commands. */
  | { readonly kind: "done"; readonly policyRevision: number }
  /** Refused; nothing changed. */
  | { readonly kind: "error"; readonly code: ErrorCode; readonly detail?: string }
  /** Nothing changed: the policy moved since the check. */
  | { readonly kind: "stale-policy"; readonly policyRevision: number }
  /** Nothing changed: since the caller was let in, whom to let in may have become another question. */
  | { readonly kind: "stale-credentials"; readonly credentialRevision: number }
  /** Nothing changed: a guard failed at this revision. */
  | { readonly kind: "guard-failed"; readonly revision: Revision };

export interface LeaseInfo {
  readonly id: LeaseId;
  /** Seconds. */
  readonly grantedTtl: number;
  /** Milliseconds of the cluster's lease clock. */
  readonly deadline: number;
  /** In byte order. Empty unless asked for. */
  readonly keys: readonly Key[];
}

/** One revision of a key as `coffer history` shows it. */
export interface HistoryItem {
  readonly type: "put" | "delete";
  readonly kv: KeyValue;
  readonly actor: Actor;
  /** Milliseconds since the epoch. */
  readonly time: number;
}
