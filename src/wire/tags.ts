import type {
  Command,
  Compare,
  CompareResult,
  RecordChange,
  RecordTable,
  RequestOp,
  SortOrder,
  SortTarget,
  TenantCompaction,
  TenantLimits,
  MemberChange,
  MemberReport,
} from "../core/types/mod.ts";
import type { Entry, Message } from "../core/raft/mod.ts";
import type { ForwardMessage, ForwardReply, ForwardRequest } from "./forward.ts";
import type { SnapshotStreamMessage } from "./snapshot-stream.ts";

/**
 * The words of the formats: a word is written as its place in its list. The lists are part of the
 * formats, so a word is only ever added at the end.
 */
export const commandKinds: readonly (Command["kind"] | "limited-tenant-create")[] = [
  "put",
  "delete-range",
  "txn",
  "compact",
  "lease-grant",
  "lease-revoke",
  "lease-renew",
  "tenant-create",
  "tenant-delete",
  "records",
  "member",
  "member-add",
  "member-remove",
  "member-promote",
  "member-update",
  "limited-tenant-create",
  "tenant-update",
];

export const opKinds: readonly RequestOp["kind"][] = [
  "range",
  "put",
  "delete-range",
  "txn",
  "empty",
];

/** No "value": the core is blind, so its operand must never reach the log. */
export const compareTargets: readonly Exclude<Compare["target"], "value">[] = [
  "version",
  "create",
  "mod",
  "lease",
  "decided",
];

export const compareResults: readonly CompareResult[] = ["equal", "greater", "less", "not-equal"];
export const sortOrders: readonly SortOrder[] = ["none", "ascend", "descend"];
export const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
export const revokeCauses: readonly ("revoked" | "expired")[] = ["revoked", "expired"];
export const expectations: readonly RecordChange["expect"][] = ["absent", "present", "any"];
export const recordTables: readonly RecordTable[] = [
  "policy",
  "wrapped-key",
  "issuer",
  "revocation",
  "checkpoint",
  "setting",
  "former-tenant",
  "certificate-rule",
];

/** Their places are the bits that say which limits follow. */
export const tenantLimits: readonly (keyof TenantLimits)[] = [
  "bytesMax",
  "keysMax",
  "leasesMax",
  "keyBytesMax",
  "valueBytesMax",
  "requestsPerSecond",
  "requestBurst",
  "watchesMax",
];

export const compactionKinds: readonly TenantCompaction["kind"][] = ["none", "age", "count"];

/**
 * Bits of the byte that says what an update of a tenant, or its creation, brings. `limits`: all of them as a
 * whole, which of an update only version 2 said.
 */
export const tenantFlag = {
  name: 1,
  suspends: 2,
  resumes: 4,
  limits: 8,
  compaction: 16,
  limitChanges: 32,
} as const;

/** Bits of the byte that opens a proposal. A batch is often one tenant's and one caller's. */
export const proposalFlag = {
  sameTenant: 1,
  sameIssuer: 2,
  sameSubject: 4,
  hasPolicyRevision: 8,
  clusterScope: 16,
  hasCredentialRevision: 32,
} as const;

export const putFlag = { prevKv: 1, ignoreValue: 2, ignoreLease: 4, hasLease: 8 } as const;

export const rangeFlag = { serializable: 1, keysOnly: 2, countOnly: 4, hasBounds: 8 } as const;

export const messageKinds: readonly Message["kind"][] = [
  "append",
  "append-resp",
  "heartbeat",
  "heartbeat-resp",
  "vote",
  "pre-vote",
  "vote-resp",
  "pre-vote-resp",
  "snapshot",
  "timeout-now",
  "propose",
  "read-index",
  "read-index-resp",
  "transfer-leader",
  "read-index-refused",
];

/** Beside the kind of a message: it goes from and to the same as the one before. */
export const SAME_ENDS = 0x80;

export const entryKinds: readonly Entry["kind"][] = ["normal", "conf-change"];

export const forwardKinds: readonly ForwardMessage["kind"][] = [
  "propose",
  "propose-refused",
  "request",
  "reply",
  "removed",
];

export const requestKinds: readonly ForwardRequest["kind"][] = [
  "change-members",
  "who-am-i",
  "status",
  "join",
];

export const replyKinds: readonly ForwardReply["kind"][] = ["done", "error", "member", "status"];

export const memberChanges: readonly MemberChange["kind"][] = [
  "add",
  "remove",
  "promote",
  "update",
];

export const reportRoles: readonly MemberReport["role"][] = [
  "follower",
  "pre-candidate",
  "candidate",
  "leader",
];

export const snapshotKinds: readonly SnapshotStreamMessage["kind"][] = [
  "offer",
  "want",
  "chunk",
  "end",
];
