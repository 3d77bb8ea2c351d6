import type {
  Applied,
  BackendSnapshot,
  FsmBackend,
  HistoryRow,
  KeyReader,
  LeaseRow,
  ScanOptions,
  ScopeRow,
} from "../../src/core/fsm/mod.ts";
import {
  type Key,
  type KeyRange,
  type KeyValue,
  type MemberInfo,
  NO_LEASE,
  rangeHas,
} from "../../src/core/types/mod.ts";

/** All state as plain maps and arrays; copied whole before a transaction, put back if it throws. */
interface Tables {
  applied: Applied;
  confState: Uint8Array | undefined;
  lastSlot: number;
  current: Map<string, KeyValue>;
  history: Map<number, HistoryRow[]>;
  leases: Map<string, LeaseRow & { slot: number }>;
  scopes: Map<number, ScopeRow>;
  records: Map<string, Uint8Array>;
  members: Map<bigint, MemberInfo>;
  removedMembers: Set<bigint>;
  cleaned: Map<number, number>;
}

const NONE = new Uint8Array(0);
const at = (slot: number, name: string): string => `${slot}/${name}`;
const byKey = (a: KeyValue, b: KeyValue): number => (a.key < b.key ? -1 : 1);
const isAfter = (row: HistoryRow, revision: number, sub: number): boolean =>
  row.kv.modRevision > revision || (row.kv.modRevision === revision && row.sub > sub);

function copy(tables: Tables): Tables {
  return {
    applied: tables.applied,
    confState: tables.confState,
    lastSlot: tables.lastSlot,
    current: new Map(tables.current),
    history: new Map([...tables.history].map(([slot, rows]) => [slot, [...rows]])),
    leases: new Map(tables.leases),
    scopes: new Map(tables.scopes),
    records: new Map(tables.records),
    members: new Map(tables.members),
    removedMembers: new Set(tables.removedMembers),
    cleaned: new Map(tables.cleaned),
  };
}

function shape(rows: KeyValue[], options: ScanOptions): KeyValue[] {
  rows.sort(byKey);
  if (options.descending) rows.reverse();
  const taken = options.limit > 0 ? rows.slice(0, options.limit) : rows;
  return options.withValues ? taken : taken.map((kv) => ({ ...kv, value: NONE }));
}

function readerOf(tables: () => Tables): KeyReader {
  const live = (slot: number, range: KeyRange): KeyValue[] =>
    [...tables().current]
      .filter(([name, kv]) => name === at(slot, kv.key) && rangeHas(range, kv.key))
      .map(([, kv]) => kv);
  const past = (slot: number, range: KeyRange, revision: number): KeyValue[] => {
    const newest = new Map<Key, HistoryRow>();
    for (const row of tables().history.get(slot) ?? []) {
      if (row.kv.modRevision <= revision && rangeHas(range, row.kv.key))
        newest.set(row.kv.key, row);
    }
    return [...newest.values()].filter((row) => row.type === "put").map((row) => row.kv);
  };
  const counted = (rows: KeyValue[], limit: number) => {
    const taken = limit > 0 ? rows.sort(byKey).slice(0, limit) : rows;
    return { count: taken.length, last: limit > 0 ? taken.at(-1)?.key : undefined };
  };
  return {
    get: (slot, key) => tables().current.get(at(slot, key)),
    scan: (slot, range, options) => shape(live(slot, range), options),
    count: (slot, range, limit) => counted(live(slot, range), limit),
    getAt: (slot, key, revision) => past(slot, { lo: key, hi: `${key}\0` as Key }, revision)[0],
    scanAt: (slot, range, options) => shape(past(slot, range, options.revision), options),
    countAt: (slot, range, revision) => past(slot, range, revision).length,
    netCreated: (slot, range, { after }) =>
      live(slot, range).length - past(slot, range, after).length,
  };
}

/** What a backend of `createMemoryBackend` holds at one moment. */
export interface SavedState {
  readonly tables: Tables;
}

const backends = new WeakMap<FsmBackend, { save(): SavedState; load(saved: SavedState): void }>();

/** A copy of all that `backend`, one of `createMemoryBackend`, holds. */
export function saveState(backend: FsmBackend): SavedState {
  const known = backends.get(backend);
  if (known === undefined) throw new Error("Not a backend in memory");
  return known.save();
}

/** Puts what was saved in place of all that `backend` holds, as a snapshot does. */
export function loadState(backend: FsmBackend, saved: SavedState): void {
  backends.get(backend)?.load(saved);
}

/** The in-memory stand-in for state.db. */
export function createMemoryBackend(): FsmBackend {
  let t: Tables = {
    applied: { index: 0, term: 0, leaseTime: 0 },
    confState: undefined,
    lastSlot: 0,
    current: new Map(),
    history: new Map(),
    leases: new Map(),
    scopes: new Map(),
    records: new Map(),
    members: new Map(),
    removedMembers: new Set(),
    cleaned: new Map(),
  };
  const rowsOf = (slot: number): HistoryRow[] => t.history.get(slot) ?? [];
  const keep = (slot: number, test: (row: HistoryRow) => boolean): number => {
    const before = rowsOf(slot);
    const after = before.filter(test);
    t.history.set(slot, after);
    return before.length - after.length;
  };
  const liveLeases = () =>
    [...t.leases.values()]
      .filter(({ slot }) => {
        const scope = t.scopes.get(slot);
        return scope?.deleted === false && !scope.suspended;
      })
      .sort((a, b) => a.deadline - b.deadline || a.slot - b.slot);
  const backend: FsmBackend = {
    ...readerOf(() => t),
    transaction(work) {
      const before = copy(t);
      try {
        return work();
      } catch (failure) {
        t = before;
        throw failure;
      }
    },
    flush: () => undefined,
    appliedIndex: () => t.applied.index,
    appliedTerm: () => t.applied.term,
    leaseTime: () => t.applied.leaseTime,
    setApplied: (applied) => void (t.applied = applied),
    confState: () => t.confState,
    setConfState: (confState) => void (t.confState = confState),
    put: (slot, kv) => void t.current.set(at(slot, kv.key), kv),
    remove: (slot, key) => void t.current.delete(at(slot, key)),
    append: (slot, row) => void t.history.set(slot, [...rowsOf(slot), row]),
    changedAfter: (slot, range, revision) =>
      rowsOf(slot).some((row) => row.kv.modRevision > revision && rangeHas(range, row.kv.key)),
    lastChange: (slot, range) =>
      rowsOf(slot).findLast((row) => rangeHas(range, row.kv.key))?.kv.modRevision ?? 0,
    changes(slot, { from, to, bytesMax }) {
      const taken: HistoryRow[] = [];
      let bytes = 0;
      for (const row of rowsOf(slot)) {
        const { modRevision, key, value } = row.kv;
        if (modRevision < from || modRevision > to) continue;
        if (bytes >= bytesMax && taken.at(-1)?.kv.modRevision !== modRevision) break;
        taken.push(row);
        bytes += key.length + value.length;
      }
      return taken;
    },
    historyOf(slot, key, before, limit) {
      const rows = rowsOf(slot).filter(
        ({ kv }) => kv.key === key && (before <= 0 || kv.modRevision < before),
      );
      return rows.toReversed().slice(0, limit > 0 ? limit : undefined);
    },
    revisionRow(slot, revision) {
      const row = rowsOf(slot).find(({ kv, sub }) => kv.modRevision === revision && sub === 0);
      return row?.hash && { time: row.time, hash: row.hash, garbage: row.garbage ?? 0 };
    },
    marks: (slot, after, { to, limit }) =>
      rowsOf(slot)
        .filter((row) => isAfter(row, after.revision, after.sub) && row.kv.modRevision <= to)
        .slice(0, limit)
        .map(({ type, sub, kv }) => ({ type, sub, key: kv.key, revision: kv.modRevision })),
    removeBefore: (slot, key, { revision, sub }) =>
      keep(slot, (row) => row.kv.key !== key || isAfter(row, revision, sub - 1)),
    removeChange: (slot, { revision, sub }) =>
      void keep(slot, (row) => row.kv.modRevision !== revision || row.sub !== sub),
    lease: (slot, id) => stripSlot(t.leases.get(at(slot, String(id)))),
    leases: (slot) =>
      [...t.leases.values()]
        .filter((row) => row.slot === slot)
        .sort((a, b) => a.deadline - b.deadline)
        .map(({ id, ttl, deadline }) => ({ id, ttl, deadline })),
    putLease: (slot, row) => void t.leases.set(at(slot, String(row.id)), { ...row, slot }),
    removeLease: (slot, id) => void t.leases.delete(at(slot, String(id))),
    leaseKeys: (slot, id) =>
      [...t.current]
        .filter(([name, kv]) => name === at(slot, kv.key) && kv.lease === id && id !== NO_LEASE)
        .map(([, kv]) => kv.key)
        .sort(),
    expiredLeases: (now, max) =>
      liveLeases()
        .filter(({ slot, ttl, deadline }) => {
          const floor = t.scopes.get(slot)?.leaseFloor ?? 0;
          return deadline <= now && floor + ttl * 1000 <= now;
        })
        .slice(0, max)
        .map(({ slot, id }) => ({ slot, id })),
    leasePage(slot, after, limit) {
      const place = (id: bigint): bigint => BigInt.asUintN(64, id);
      return [...t.leases.values()]
        .filter((row) => row.slot === slot && (after === undefined || place(row.id) > place(after)))
        .sort((a, b) => (place(a.id) < place(b.id) ? -1 : 1))
        .slice(0, limit)
        .map(({ id, ttl, deadline }) => ({ id, ttl, deadline }));
    },
    nextLeaseDeadline: () => liveLeases()[0]?.deadline,
    scopes: () => [...t.scopes.values()],
    putScope: (row) => void t.scopes.set(row.slot, { ...row }),
    moveScope(row) {
      const known = t.scopes.get(row.slot);
      if (known === undefined) return;
      const { id, name, created, deleted, suspended, leaseFloor, limits, compaction } = known;
      const kept = { id, name, created, deleted, suspended, leaseFloor, limits, compaction };
      t.scopes.set(row.slot, { ...row, ...kept });
    },
    removeScope: (slot) => void t.scopes.delete(slot),
    nextSlot: () => ++t.lastSlot,
    record: (slot, table, id) => t.records.get(at(slot, `${table}/${id}`)),
    records: (slot, table) =>
      [...t.records]
        .filter(([name]) => name.startsWith(at(slot, `${table}/`)))
        .map(([name, data]) => ({ id: name.slice(at(slot, `${table}/`).length), data }))
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
    putRecord: (slot, table, { id, data }) => void t.records.set(at(slot, `${table}/${id}`), data),
    removeRecord: (slot, table, id) => void t.records.delete(at(slot, `${table}/${id}`)),
    removeRecords(slot) {
      for (const name of t.records.keys())
        if (name.startsWith(at(slot, ""))) t.records.delete(name);
    },
    members: () => [...t.members.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    putMember: (member) => void t.members.set(member.id, member),
    removeMember(id) {
      t.members.delete(id);
      t.removedMembers.add(id);
    },
    isRemovedMember: (id) => t.removedMembers.has(id),
    cleanRevision: (slot) => t.cleaned.get(slot) ?? 0,
    setCleanRevision: (slot, revision) => void t.cleaned.set(slot, revision),
    purge(slot, rows) {
      let left = rows;
      for (const map of [t.current, t.leases] as Map<string, unknown>[]) {
        for (const name of map.keys()) {
          if (left > 0 && name.startsWith(at(slot, "")) && map.delete(name)) left -= 1;
        }
      }
      const history = rowsOf(slot);
      const cut = Math.min(left, history.length);
      t.history.set(slot, history.slice(cut));
      return rows - left + cut;
    },
    vacuum: () => false,
    snapshot(): BackendSnapshot {
      const frozen = copy(t);
      return {
        ...readerOf(() => frozen),
        scope: (id) => [...frozen.scopes.values()].find((row) => row.id === id && !row.deleted),
        close: () => undefined,
      };
    },
  };
  backends.set(backend, {
    save: () => ({ tables: copy(t) }),
    load: ({ tables }) => void (t = copy(tables)),
  });
  return backend;
}

function stripSlot(row: (LeaseRow & { slot: number }) | undefined): LeaseRow | undefined {
  if (row === undefined) return undefined;
  return { id: row.id, ttl: row.ttl, deadline: row.deadline };
}
