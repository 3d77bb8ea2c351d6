import type { Database, Statement } from "better-sqlite3";
import {
  type LeaseId,
  type MemberInfo,
  NO_COMPACTION,
  NO_LIMITS,
  type TenantCompaction,
  type TenantId,
  type TenantLimits,
  memberId,
} from "../core/types/mod.ts";
import type { FsmBackend, LeaseBackend, ScopeRow } from "../core/fsm/mod.ts";
import { keyOf, leaseIdBlob, leaseOf, memberIdBlob } from "./state-codec.ts";

/** Scopes, records, members, and the numbers of the whole file. */
export type ScopeTables = Pick<
  FsmBackend,
  | "appliedIndex"
  | "appliedTerm"
  | "leaseTime"
  | "setApplied"
  | "confState"
  | "setConfState"
  | "scopes"
  | "putScope"
  | "moveScope"
  | "removeScope"
  | "nextSlot"
  | "record"
  | "records"
  | "putRecord"
  | "removeRecord"
  | "removeRecords"
  | "members"
  | "putMember"
  | "removeMember"
  | "isRemovedMember"
  | "cleanRevision"
  | "setCleanRevision"
>;

type ScopeTuple = readonly [
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

const SCOPE_COLUMNS =
  "slot, id, name, created, revision, compact_revision, policy_revision, hash, compact_hash, deleted, " +
  "suspended, lease_floor, limits, compaction, keys, leases, appended, garbage, compact_garbage, " +
  "credential_revision";

function scopeOf(row: ScopeTuple): ScopeRow {
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

/** Finds a live scope by id, on any connection. */
export function createScopeFinder(database: Database): (id: TenantId) => ScopeRow | undefined {
  const find = database
    .prepare<unknown[], ScopeTuple>(
      `SELECT ${SCOPE_COLUMNS} FROM scope WHERE id = ? AND deleted = 0`,
    )
    .raw();
  return (id) => {
    const row = find.get(id);
    return row === undefined ? undefined : scopeOf(row);
  };
}

export function createScopeTables(database: Database): ScopeTables {
  return {
    ...createMeta(database),
    ...createConfState(database),
    ...createScopes(database),
    ...createRecords(database),
    ...createMembers(database),
  };
}

function createMeta(
  database: Database,
): Pick<ScopeTables, "appliedIndex" | "appliedTerm" | "leaseTime" | "setApplied" | "nextSlot"> {
  const read = database.prepare<unknown[], [number]>("SELECT value FROM meta WHERE name = ?").raw();
  const write = database.prepare("UPDATE meta SET value = ? WHERE name = ?");
  // One statement, as it runs with every batch.
  const writeApplied = database.prepare(
    `UPDATE meta SET value =
       CASE name WHEN 'applied_index' THEN ? WHEN 'applied_term' THEN ? ELSE ? END
     WHERE name IN ('applied_index', 'applied_term', 'lease_time')`,
  );
  const valueOf = (name: string): number => read.get(name)?.[0] ?? 0;
  return {
    appliedIndex: () => valueOf("applied_index"),
    appliedTerm: () => valueOf("applied_term"),
    leaseTime: () => valueOf("lease_time"),
    setApplied({ index, term, leaseTime }) {
      writeApplied.run(index, term, leaseTime);
    },
    nextSlot() {
      const slot = valueOf("last_slot") + 1;
      write.run(slot, "last_slot");
      return slot;
    },
  };
}

function createConfState(database: Database): Pick<ScopeTables, "confState" | "setConfState"> {
  const read = database.prepare<unknown[], [Buffer]>("SELECT data FROM conf_state").raw();
  const write = database.prepare("INSERT OR REPLACE INTO conf_state VALUES (0, ?)");
  return {
    confState: () => read.get()?.[0],
    setConfState(data) {
      write.run(data);
    },
  };
}

function createScopes(
  database: Database,
): Pick<
  ScopeTables,
  "scopes" | "putScope" | "moveScope" | "removeScope" | "cleanRevision" | "setCleanRevision"
> {
  const all = database
    .prepare<unknown[], ScopeTuple>(`SELECT ${SCOPE_COLUMNS} FROM scope ORDER BY slot`)
    .raw();
  const put = database.prepare(
    `INSERT OR REPLACE INTO scope (${SCOPE_COLUMNS})
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const move = database.prepare(
    `UPDATE scope SET revision = ?, compact_revision = ?, policy_revision = ?, hash = ?,
       compact_hash = ?, keys = ?, leases = ?, appended = ?, garbage = ?, compact_garbage = ?,
       credential_revision = ?
     WHERE slot = ?`,
  );
  const remove = database.prepare("DELETE FROM scope WHERE slot = ?");
  const removeCleaned = database.prepare("DELETE FROM cleaned WHERE slot = ?");
  const cleaned = database
    .prepare<unknown[], [number]>("SELECT revision FROM cleaned WHERE slot = ?")
    .raw();
  const setCleaned = database.prepare("INSERT OR REPLACE INTO cleaned VALUES (?, ?)");
  return {
    scopes: () => all.all().map(scopeOf),
    putScope(row) {
      const { slot, id, name, created, revision, compactRevision, policyRevision } = row;
      const head = [slot, id, name, created, revision, compactRevision, policyRevision];
      const { hash, compactHash, leaseFloor, limits, compaction } = row;
      const flags = [row.deleted ? 1 : 0, row.suspended ? 1 : 0];
      const settings = [leaseFloor, JSON.stringify(limits), JSON.stringify(compaction)];
      put.run(...head, hash, compactHash, ...flags, ...settings, ...countsOf(row));
    },
    moveScope(row) {
      const { slot, revision, compactRevision, policyRevision, hash, compactHash } = row;
      const revisions = [revision, compactRevision, policyRevision];
      move.run(...revisions, hash, compactHash, ...countsOf(row), slot);
    },
    removeScope(slot) {
      remove.run(slot);
      removeCleaned.run(slot);
    },
    cleanRevision: (slot) => cleaned.get(slot)?.[0] ?? 0,
    setCleanRevision(slot, revision) {
      setCleaned.run(slot, revision);
    },
  };
}

function countsOf(row: ScopeRow): number[] {
  const { keys, leases, appended, garbage, compactGarbage, credentialRevision } = row;
  return [keys, leases, appended, garbage, compactGarbage, credentialRevision];
}

function createRecords(
  database: Database,
): Pick<ScopeTables, "record" | "records" | "putRecord" | "removeRecord" | "removeRecords"> {
  const one = database
    .prepare<unknown[], [Buffer]>("SELECT data FROM record WHERE slot = ? AND kind = ? AND id = ?")
    .raw();
  const all = database
    .prepare<unknown[], [string, Buffer]>(
      "SELECT id, data FROM record WHERE slot = ? AND kind = ? ORDER BY id",
    )
    .raw();
  const put = database.prepare("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM record WHERE slot = ? AND kind = ? AND id = ?");
  const removeAll = database.prepare("DELETE FROM record WHERE slot = ?");
  return {
    record: (slot, table, id) => one.get(slot, table, id)?.[0],
    records: (slot, table) => all.all(slot, table).map(([id, data]) => ({ id, data })),
    putRecord(slot, table, { id, data }) {
      put.run(slot, table, id, data);
    },
    removeRecord(slot, table, id) {
      remove.run(slot, table, id);
    },
    removeRecords(slot) {
      removeAll.run(slot);
    },
  };
}

function createMembers(
  database: Database,
): Pick<ScopeTables, "members" | "putMember" | "removeMember" | "isRemovedMember"> {
  const all = database
    .prepare<unknown[], [Buffer, string, string, string, number]>(
      "SELECT id, name, peer_urls, client_urls, is_learner FROM member ORDER BY id",
    )
    .raw();
  const put = database.prepare("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM member WHERE id = ?");
  const noteRemoved = database.prepare("INSERT OR IGNORE INTO removed_member VALUES (?)");
  const removed = database.prepare("SELECT 1 FROM removed_member WHERE id = ?");
  return {
    members: () =>
      all.all().map(([id, name, peerUrls, clientUrls, isLearner]): MemberInfo => {
        return {
          id: memberId(id.readBigUInt64BE()),
          name,
          peerUrls: JSON.parse(peerUrls) as string[],
          clientUrls: JSON.parse(clientUrls) as string[],
          isLearner: isLearner === 1,
        };
      }),
    putMember({ id, name, peerUrls, clientUrls, isLearner }) {
      const urls = [JSON.stringify(peerUrls), JSON.stringify(clientUrls)];
      put.run(memberIdBlob(id), name, ...urls, isLearner ? 1 : 0);
    },
    removeMember(id) {
      remove.run(memberIdBlob(id));
      noteRemoved.run(memberIdBlob(id));
    },
    isRemovedMember: (id) => removed.get(memberIdBlob(id)) !== undefined,
  };
}

/** Below the blob of any id. */
const BEFORE_ALL = Buffer.alloc(0);

/** Leases, and through `current` the keys that they hold. */
export function createLeaseTables(
  database: Database,
): LeaseBackend & Pick<FsmBackend, "leasePage"> {
  const raw = <Row>(sql: string): Statement<unknown[], Row> =>
    database.prepare<unknown[], Row>(sql).raw();
  const one = raw<[number, number]>("SELECT ttl, deadline FROM lease WHERE slot = ? AND id = ?");
  const all = raw<[Buffer, number, number]>(
    "SELECT id, ttl, deadline FROM lease WHERE slot = ? ORDER BY deadline, id",
  );
  const put = database.prepare("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM lease WHERE slot = ? AND id = ?");
  const keys = raw<[Buffer]>(
    `SELECT key FROM current INDEXED BY current_leases WHERE slot = ? AND lease = ? ORDER BY key`,
  );
  const page = raw<[Buffer, number, number]>(
    "SELECT id, ttl, deadline FROM lease WHERE slot = ? AND id > ? ORDER BY id LIMIT ?",
  );
  const live = "lease JOIN scope USING (slot) WHERE NOT scope.deleted AND NOT scope.suspended";
  const expired = raw<[number, Buffer]>(
    `SELECT lease.slot, lease.id FROM ${live}
       AND deadline <= :now AND lease_floor + ttl * 1000 <= :now
     ORDER BY deadline, lease.slot, lease.id LIMIT :max`,
  );
  const next = raw<[number]>(`SELECT deadline FROM ${live} ORDER BY deadline LIMIT 1`);
  return {
    lease(slot, id) {
      const row = one.get(slot, leaseIdBlob(id));
      return row === undefined ? undefined : { id, ttl: row[0], deadline: row[1] };
    },
    leases: (slot) =>
      all.all(slot).map(([id, ttl, deadline]) => ({ id: leaseOf(id), ttl, deadline })),
    putLease(slot, { id, ttl, deadline }) {
      put.run(slot, leaseIdBlob(id), ttl, deadline);
    },
    removeLease(slot, id) {
      remove.run(slot, leaseIdBlob(id));
    },
    leaseKeys: (slot, id) => keys.all(slot, leaseIdBlob(id)).map(([key]) => keyOf(key)),
    expiredLeases: (now, max) =>
      expired.all({ now, max }).map(([slot, id]) => ({ slot, id: leaseOf(id) })),
    leasePage(slot, after: LeaseId | undefined, limit) {
      const rows = page.all(slot, after === undefined ? BEFORE_ALL : leaseIdBlob(after), limit);
      return rows.map(([id, ttl, deadline]) => ({ id: leaseOf(id), ttl, deadline }));
    },
    nextLeaseDeadline: () => next.get()?.[0],
  };
}
