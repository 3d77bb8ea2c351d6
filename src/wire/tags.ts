import type {
  Command,
  Compare,
  CompareResult,
  RecordChange,
  RecordTable,
  RequestOp,
  SortOrder,
  SortTarget,
} from "../core/types/mod.ts";

/**
 * The words of the format: a word is written as its place in its list. The lists are part of format
 * version 1, so a word is only ever added at the end.
 */
export const commandKinds: readonly Command["kind"][] = [
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
];

/** Bits of the byte that opens a proposal. A batch is often one tenant's and one caller's. */
export const proposalFlag = {
  sameTenant: 1,
  sameIssuer: 2,
  sameSubject: 4,
  hasPolicyRevision: 8,
  clusterScope: 16,
} as const;

export const putFlag = { prevKv: 1, ignoreValue: 2, ignoreLease: 4, hasLease: 8 } as const;

export const rangeFlag = { serializable: 1, keysOnly: 2, countOnly: 4, hasBounds: 8 } as const;
