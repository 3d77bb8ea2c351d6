import type { Database } from "better-sqlite3";
import { type MemberInfo, type TenantId, memberId } from "../core/types/mod.ts";
import type { FsmBackend, ScopeRow, Slot } from "../core/fsm/mod.ts";
import { type FileMac, changedError, isTag } from "./file-mac.ts";
import { memberIdBlob } from "./state-codec.ts";
import { openRecords } from "./guarded-records.ts";
import { type GuardedRow, StateGuard } from "./state-guard.ts";
import { SCOPE_COLUMNS, type ScopeTuple, scopeOf } from "./scope-rows.ts";

/**
 * The tables of state.db that are authenticated. They are read as a whole when the file is opened, each
 * row once, and answered from memory from then on: what was found authentic is what is served. A look-up
 * in the file could find less, as who writes it can hide a row from a search that a scan still comes by,
 * or lead a search to the row of another tenant.
 */

export type GuardedTables = Pick<
  FsmBackend,
  | "appliedIndex"
  | "appliedTerm"
  | "leaseTime"
  | "setApplied"
  | "nextSlot"
  | "confState"
  | "setConfState"
  | "scopes"
  | "putScope"
  | "moveScope"
  | "removeScope"
  | "record"
  | "records"
  | "putRecord"
  | "removeRecord"
  | "removeRecords"
  | "members"
  | "putMember"
  | "removeMember"
  | "isRemovedMember"
>;

export interface OpenTables {
  readonly tables: GuardedTables;
  /** Of a tenant that is or was there. */
  slotOf(id: TenantId): Slot | undefined;
  /** Removes up to `rows` records of a slot; returns how many. */
  purgeRecords(slot: Slot, rows: number): number;
  /** To be called before each commit; writes the tag. */
  seal(): void;
  committed(): void;
  rolledBack(): void;
}

/** Throws `corrupt` if the rows are not those that were last committed by who has the key. */
export function openGuardedTables(database: Database, mac: FileMac, path: string): OpenTables {
  const guard = new StateGuard(mac, path);
  const numbers = openNumbers(database, guard, path);
  const confState = openConfState(database, guard);
  const { slotOf, ...scopes } = openScopes(database, guard);
  const { purgeRecords, ...records } = openRecords(database, guard);
  const members = openMembers(database, guard);
  const stored = database.prepare("SELECT tag FROM guard").pluck().all();
  const tag = guard.tag(numbers.all());
  if (stored.length !== 1 || !isTag(tag, stored[0])) {
    throw guard.refusal();
  }
  guard.committed();
  const write = database.prepare("UPDATE guard SET tag = ?");
  const { all, ...tables } = numbers;
  return {
    tables: { ...tables, ...confState, ...scopes, ...records, ...members },
    slotOf,
    purgeRecords,
    seal: () => void write.run(guard.tag(all())),
    committed: () => guard.committed(),
    rolledBack: () => guard.rolledBack(),
  };
}

/** The tag of a file that has just been made. */
export function emptyTag(mac: FileMac): Uint8Array {
  return new StateGuard(mac, "").tag(NUMBERS.map(() => 0));
}

const NUMBERS = ["applied_index", "applied_term", "last_slot", "lease_time"] as const;
type Numbers = Record<(typeof NUMBERS)[number], number>;

function openNumbers(
  database: Database,
  guard: StateGuard,
  path: string,
): Pick<GuardedTables, "appliedIndex" | "appliedTerm" | "leaseTime" | "setApplied" | "nextSlot"> & {
  all(): readonly number[];
} {
  const found = database
    .prepare<unknown[], [string, number]>("SELECT name, value FROM meta")
    .raw()
    .all();
  const names = found.map(([name]) => name).toSorted();
  if (names.join() !== NUMBERS.join()) throw changedError(path, "numbers");
  let now = Object.fromEntries(found) as Numbers;
  const change = (next: Numbers): void => {
    const before = now;
    now = next;
    guard.moved(() => (now = before));
  };
  const writeSlot = database.prepare("UPDATE meta SET value = ? WHERE name = 'last_slot'");
  // One statement, as it runs with every batch.
  const writeApplied = database.prepare(
    `UPDATE meta SET value =
       CASE name WHEN 'applied_index' THEN ? WHEN 'applied_term' THEN ? ELSE ? END
     WHERE name IN ('applied_index', 'applied_term', 'lease_time')`,
  );
  return {
    all: () => NUMBERS.map((name) => now[name]),
    appliedIndex: () => now.applied_index,
    appliedTerm: () => now.applied_term,
    leaseTime: () => now.lease_time,
    setApplied({ index, term, leaseTime }) {
      change({ ...now, applied_index: index, applied_term: term, lease_time: leaseTime });
      writeApplied.run(index, term, leaseTime);
    },
    nextSlot() {
      const slot = now.last_slot + 1;
      change({ ...now, last_slot: slot });
      writeSlot.run(slot);
      return slot;
    },
  };
}

function openConfState(
  database: Database,
  guard: StateGuard,
): Pick<GuardedTables, "confState" | "setConfState"> {
  const [row] = database.prepare<unknown[], [Buffer]>("SELECT data FROM conf_state").raw().all();
  let now: Uint8Array | undefined = row?.[0];
  if (now !== undefined) guard.found("conf_state", [now], false);
  const write = database.prepare("INSERT OR REPLACE INTO conf_state VALUES (0, ?)");
  return {
    confState: () => now,
    setConfState(data) {
      const before = now;
      const after = Buffer.from(data);
      now = after;
      guard.changed(
        "conf_state",
        { before: before && [before], after: [after] },
        () => (now = before),
      );
      write.run(after);
    },
  };
}

/** What somebody has decided of a scope; its other revisions and counts move with every write. */
type KnownScope = Pick<
  ScopeRow,
  | "slot"
  | "id"
  | "name"
  | "created"
  | "deleted"
  | "suspended"
  | "limits"
  | "compaction"
  | "policyRevision"
  | "credentialRevision"
>;

function guardedScope(scope: KnownScope): GuardedRow {
  const { slot, id, name, created, policyRevision, credentialRevision } = scope;
  const flags = [scope.deleted ? 1 : 0, scope.suspended ? 1 : 0];
  const settings = [JSON.stringify(scope.limits), JSON.stringify(scope.compaction)];
  return [slot, id, name, created, policyRevision, credentialRevision, ...flags, ...settings];
}

function openScopes(
  database: Database,
  guard: StateGuard,
): Pick<GuardedTables, "scopes" | "putScope" | "moveScope" | "removeScope"> & {
  slotOf(id: TenantId): Slot | undefined;
} {
  const all = database
    .prepare<unknown[], ScopeTuple>(`SELECT ${SCOPE_COLUMNS} FROM scope ORDER BY slot`)
    .raw();
  const known = new Map<Slot, GuardedRow>();
  // Of tenants that are gone too, as a snapshot may still have them: no id and no slot comes back.
  const slots = new Map<TenantId, Slot>();
  for (const tuple of all.iterate()) {
    // What is neither would be read in one way here and in another by SQLite.
    if (![tuple[9], tuple[10]].every((flag) => flag === 0 || flag === 1)) throw guard.refusal();
    const row = scopeOf(tuple);
    const guarded = guardedScope(row);
    guard.found("scope", guarded, known.has(row.slot) || slots.has(row.id));
    known.set(row.slot, guarded);
    slots.set(row.id, row.slot);
  }
  const set = (slot: Slot, after: GuardedRow | undefined): void => {
    const before = known.get(slot);
    setOrDelete(known, slot, after);
    guard.changed("scope", { before, after }, () => setOrDelete(known, slot, before));
  };
  const insert = database.prepare(
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
  return {
    slotOf: (id) => slots.get(id),
    scopes: () => all.all().map(scopeOf),
    putScope(row) {
      const { slot, id, name, created, revision, compactRevision, policyRevision } = row;
      set(slot, guardedScope(row));
      slots.set(id, slot);
      const head = [slot, id, name, created, revision, compactRevision, policyRevision];
      const { hash, compactHash, leaseFloor, limits, compaction } = row;
      const flags = [row.deleted ? 1 : 0, row.suspended ? 1 : 0];
      const settings = [leaseFloor, JSON.stringify(limits), JSON.stringify(compaction)];
      insert.run(...head, hash, compactHash, ...flags, ...settings, ...countsOf(row));
    },
    moveScope(row) {
      const { slot, revision, compactRevision, policyRevision, hash, compactHash } = row;
      const before = known.get(slot);
      if (before !== undefined && !hasRevisions(before, row)) {
        set(slot, withRevisions(before, row));
      }
      const revisions = [revision, compactRevision, policyRevision];
      move.run(...revisions, hash, compactHash, ...countsOf(row), slot);
    },
    removeScope(slot) {
      set(slot, undefined);
      remove.run(slot);
      removeCleaned.run(slot);
    },
  };
}

/** Where `guardedScope` has the policy revision; the credential revision follows. */
const POLICY_REVISION_AT = 4;

function hasRevisions(row: GuardedRow, { policyRevision, credentialRevision }: ScopeRow): boolean {
  const at = POLICY_REVISION_AT;
  return row[at] === policyRevision && row[at + 1] === credentialRevision;
}

function withRevisions(
  row: GuardedRow,
  { policyRevision, credentialRevision }: ScopeRow,
): GuardedRow {
  return row
    .with(POLICY_REVISION_AT, policyRevision)
    .with(POLICY_REVISION_AT + 1, credentialRevision);
}

function countsOf(row: ScopeRow): number[] {
  const { keys, leases, appended, garbage, compactGarbage, credentialRevision } = row;
  return [keys, leases, appended, garbage, compactGarbage, credentialRevision];
}

function openMembers(
  database: Database,
  guard: StateGuard,
): Pick<GuardedTables, "members" | "putMember" | "removeMember" | "isRemovedMember"> {
  const all = database
    .prepare<unknown[], [Buffer, string, string, string, number]>(
      "SELECT id, name, peer_urls, client_urls, is_learner FROM member",
    )
    .raw();
  const present = new Map<bigint, MemberInfo>();
  for (const [id, name, peerUrls, clientUrls, isLearner] of all.iterate()) {
    const isTwice = present.has(id.readBigUInt64BE());
    guard.found("member", [id, name, peerUrls, clientUrls, isLearner], isTwice);
    const member: MemberInfo = {
      id: memberId(id.readBigUInt64BE()),
      name,
      peerUrls: JSON.parse(peerUrls) as string[],
      clientUrls: JSON.parse(clientUrls) as string[],
      isLearner: isLearner === 1,
    };
    present.set(member.id, member);
  }
  const removed = new Set<bigint>();
  const gone = database.prepare<unknown[], [Buffer]>("SELECT id FROM removed_member").raw();
  for (const [id] of gone.iterate()) {
    guard.found("removed_member", [id], removed.has(id.readBigUInt64BE()));
    removed.add(id.readBigUInt64BE());
  }
  const put = database.prepare("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM member WHERE id = ?");
  const noteRemoved = database.prepare("INSERT OR IGNORE INTO removed_member VALUES (?)");
  const set = (id: bigint, after: MemberInfo | undefined): void => {
    const before = present.get(id);
    setOrDelete(present, id, after);
    const change = { before: before && memberRow(before), after: after && memberRow(after) };
    guard.changed("member", change, () => setOrDelete(present, id, before));
  };
  return {
    members: () => [...present.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    putMember(member) {
      set(member.id, member);
      put.run(...memberRow(member));
    },
    removeMember(id) {
      if (present.has(id)) set(id, undefined);
      remove.run(memberIdBlob(id));
      if (removed.has(id)) return;
      removed.add(id);
      const after = [memberIdBlob(id)];
      guard.changed("removed_member", { before: undefined, after }, () => void removed.delete(id));
      noteRemoved.run(...after);
    },
    isRemovedMember: (id) => removed.has(id),
  };
}

function memberRow({ id, name, peerUrls, clientUrls, isLearner }: MemberInfo): GuardedRow {
  const urls = [JSON.stringify(peerUrls), JSON.stringify(clientUrls)];
  return [memberIdBlob(id), name, ...urls, isLearner ? 1 : 0];
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
