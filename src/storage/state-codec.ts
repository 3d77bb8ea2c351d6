import {
  type Actor,
  type Key,
  type KeyValue,
  type LeaseId,
  type MemberId,
  NO_LEASE,
  type Revision,
  leaseId,
} from "../core/types/mod.ts";
import type { HistoryRow } from "../core/fsm/mod.ts";
import { assert } from "../stdx/mod.ts";

/** Rows of state.db as better-sqlite3's raw mode gives them, and back. */

const NO_VALUE: Uint8Array = new Uint8Array(0);

export function keyBlob(key: Key): Buffer {
  return Buffer.from(key, "latin1");
}

export function keyOf(blob: Buffer): Key {
  return blob.toString("latin1") as Key;
}

/** NULL when there is none, else eight bytes: all 64 bits survive without bigint columns. */
export function leaseBlob(id: LeaseId): Buffer | null {
  return id === NO_LEASE ? null : leaseIdBlob(id);
}

export function leaseIdBlob(id: LeaseId): Buffer {
  const blob = Buffer.allocUnsafe(8);
  blob.writeBigInt64BE(id);
  return blob;
}

export function memberIdBlob(id: MemberId): Buffer {
  const blob = Buffer.allocUnsafe(8);
  blob.writeBigUInt64BE(id);
  return blob;
}

export function leaseOf(blob: Buffer | null): LeaseId {
  return blob === null ? NO_LEASE : leaseId(blob.readBigInt64BE());
}

/** create_rev, mod_rev, version, lease, record of a row whose key is known. */
export type KeyedRow = readonly [number, number, number, Buffer | null, Buffer | null];

/** key and then as `KeyedRow`. */
export type FullRow = readonly [Buffer, number, number, number, Buffer | null, Buffer | null];

export function keyValueOf(key: Key, row: KeyedRow): KeyValue {
  return {
    key,
    createRevision: row[0] as Revision,
    modRevision: row[1] as Revision,
    version: row[2],
    lease: leaseOf(row[3]),
    value: row[4] ?? NO_VALUE,
  };
}

export function keyValueOfFull(row: FullRow): KeyValue {
  return {
    key: keyOf(row[0]),
    createRevision: row[1] as Revision,
    modRevision: row[2] as Revision,
    version: row[3],
    lease: leaseOf(row[4]),
    value: row[5] ?? NO_VALUE,
  };
}

/** The value of a row of `current` or `history`; NULL for a delete. */
export const RECORD = "(SELECT record FROM sealed WHERE id = sealed_id)";

/** The columns of history, in the order of `HISTORY_COLUMNS`. */
export type HistoryTuple = readonly [
  Buffer,
  number,
  number,
  number,
  Buffer | null,
  Buffer,
  number,
  number,
  Buffer | null,
  string,
  number | null,
];

export const HISTORY_COLUMNS: string = `key, create_rev, mod_rev, version, lease, ${RECORD}, sub, time, hash, actor, garbage`;

export function historyRowOf(row: HistoryTuple): HistoryRow {
  const [key, create, mod, version, lease, record, sub, time, hash, actor, garbage] = row;
  return {
    type: version === 0 ? "delete" : "put",
    sub,
    kv: keyValueOfFull([key, create, mod, version, lease, record]),
    actor: actorOf(actor),
    time,
    hash: hash ?? undefined,
    garbage: sub === 0 ? (garbage ?? 0) : undefined,
  };
}

export function actorText(actor: Actor): string {
  return JSON.stringify([actor.issuer, actor.subject, actor.requestId]);
}

function actorOf(text: string): Actor {
  const parts: unknown = JSON.parse(text);
  assert(Array.isArray(parts) && parts.length === 3, "Actor of a stored revision is malformed");
  const [issuer, subject, requestId] = parts as [string, string, string];
  return { issuer, subject, requestId };
}
