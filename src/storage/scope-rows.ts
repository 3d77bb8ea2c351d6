import type { Database } from "better-sqlite3";
import {
  NO_COMPACTION,
  NO_LIMITS,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
} from "../core/types/mod.ts";
import type { ScopeRow, Slot } from "../core/fsm/mod.ts";

/** Rows of `scope` as better-sqlite3's raw mode gives them. */

export type ScopeTuple = readonly [
  number,
  TenantId,
  string,
  number,
  number,
  number,
  number,
  Buffer,
  Buffer,
  number,
  number,
  number,
  string,
  string,
  number,
  number,
  number,
  number,
  number,
  number,
];

export const SCOPE_COLUMNS: string =
  "slot, id, name, created, revision, compact_revision, policy_revision, hash, compact_hash, deleted, " +
  "suspended, lease_floor, limits, compaction, keys, leases, appended, garbage, compact_garbage, " +
  "credential_revision";

export function scopeOf(row: ScopeTuple): ScopeRow {
  return {
    slot: row[0],
    id: row[1],
    name: row[2],
    created: row[3],
    revision: row[4],
    compactRevision: row[5],
    policyRevision: row[6],
    hash: row[7],
    compactHash: row[8],
    deleted: row[9] === 1,
    suspended: row[10] === 1,
    leaseFloor: row[11],
    limits: row[12] === NO_LIMITS_TEXT ? NO_LIMITS : (JSON.parse(row[12]) as TenantLimits),
    compaction:
      row[13] === NO_COMPACTION_TEXT ? NO_COMPACTION : (JSON.parse(row[13]) as TenantCompaction),
    keys: row[14],
    leases: row[15],
    appended: row[16],
    garbage: row[17],
    compactGarbage: row[18],
    credentialRevision: row[19],
  };
}

// What most scopes have, and thousands of them share.
const NO_LIMITS_TEXT = JSON.stringify(NO_LIMITS);
const NO_COMPACTION_TEXT = JSON.stringify(NO_COMPACTION);

/**
 * Reads a live scope on any connection. Its slot is known from elsewhere: an index of the file could lead
 * to the row of another.
 */
export function createScopeReader(
  database: Database,
): (id: TenantId, slot: Slot) => ScopeRow | undefined {
  const find = database
    .prepare<unknown[], ScopeTuple>(
      `SELECT ${SCOPE_COLUMNS} FROM scope WHERE slot = ? AND deleted = 0`,
    )
    .raw();
  return (id, slot) => {
    const row = find.get(slot);
    return row === undefined || row[1] !== id ? undefined : scopeOf(row);
  };
}
