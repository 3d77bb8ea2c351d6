import type { Database, Statement } from "better-sqlite3";
import type { Key, KeyRange, KeyValue } from "../core/types/mod.ts";
import type { KeyReader, ScanOptions, Slot } from "../core/fsm/mod.ts";
import {
  type FullRow,
  type KeyedRow,
  RECORD,
  keyBlob,
  keyOf,
  keyValueOf,
  keyValueOfFull,
} from "./state-codec.ts";

/** SQLite's "no limit". */
const UNLIMITED = -1;

/** Up to this many revisions are walked whole; past that, the versions of the keys asked for. */
const TAIL_REVISIONS = 1000;

/**
 * The keys of a range that history knows, each found by one seek past all versions of the one before;
 * so the cost goes with the keys and not with their versions. `hi` ends the range if it is closed.
 */
function historyKeys(isClosed: boolean, order: Order): string {
  const pick = order === "ASC" ? "min" : "max";
  const from = "history INDEXED BY history_keys WHERE slot = :slot";
  // One bound per side: of two, SQLite may seek by the weaker one.
  const first = isClosed ? "key >= :lo AND key < :hi" : "key >= :lo";
  const ascending = isClosed ? "key > keys.key AND key < :hi" : "key > keys.key";
  const step = order === "ASC" ? ascending : "key < keys.key AND key >= :lo";
  return `WITH RECURSIVE keys (key) AS (
    SELECT ${pick}(key) FROM ${from} AND ${first}
    UNION ALL
    SELECT (SELECT ${pick}(key) FROM ${from} AND ${step})
    FROM keys WHERE keys.key IS NOT NULL)`;
}

/** Joined to `keys`: the newest version of each up to a revision, unless that is a delete. */
const NEWEST_AT = `CROSS JOIN history h ON h.slot = :slot AND (h.mod_rev, h.sub) = (
  SELECT n.mod_rev, n.sub FROM history n INDEXED BY history_keys
  WHERE n.slot = :slot AND n.key = keys.key AND n.mod_rev <= :revision
  ORDER BY n.mod_rev DESC, n.sub DESC LIMIT 1) WHERE h.version > 0 LIMIT :limit`;

type Order = "ASC" | "DESC";

/** Reads keys on one connection: the state's own, or a snapshot's. */
export function createKeyReader(database: Database): KeyReader {
  const statements = prepareReads(database);
  return {
    get(slot, key) {
      const row = statements.get.get(slot, keyBlob(key));
      return row === undefined ? undefined : keyValueOf(key, row);
    },
    scan(slot, range, options) {
      const limit = options.limit > 0 ? options.limit : UNLIMITED;
      const { open, closed } = pairOf(statements.scans, options);
      const rows =
        range.hi === undefined
          ? open.all(slot, keyBlob(range.lo), limit)
          : closed.all(slot, keyBlob(range.lo), keyBlob(range.hi), limit);
      return rows.map(keyValueOfFull);
    },
    count: (slot, range, limit) => countKeys(statements, { slot, range, limit }),
    getAt(slot, key, revision) {
      const row = statements.getAt.get(slot, keyBlob(key), revision);
      return row === undefined || row[2] === 0 ? undefined : keyValueOf(key, row);
    },
    scanAt: (slot, range, options) => scanPast(statements, { slot, range }, options),
    countAt: (slot, range, revision) => countPast(statements, { slot, range }, revision),
    netCreated: (slot, range, revisions) => netCreated(statements, { slot, range }, revisions),
  };
}

type Reads = ReturnType<typeof prepareReads>;

function countKeys(
  statements: Reads,
  what: { readonly slot: Slot; readonly range: KeyRange; readonly limit: number },
): { count: number; last: Key | undefined } {
  const { slot, range, limit } = what;
  const lo = keyBlob(range.lo);
  if (limit > 0) {
    const row =
      range.hi === undefined
        ? statements.countPageOpen.get(slot, lo, limit)
        : statements.countPage.get(slot, lo, keyBlob(range.hi), limit);
    const last = row?.[1] ?? null;
    return { count: row?.[0] ?? 0, last: last === null ? undefined : keyOf(last) };
  }
  const row =
    range.hi === undefined
      ? statements.countOpen.get(slot, lo)
      : statements.count.get(slot, lo, keyBlob(range.hi));
  return { count: row?.[0] ?? 0, last: undefined };
}

function countPast(
  statements: Reads,
  where: { readonly slot: Slot; readonly range: KeyRange },
  revision: number,
): number {
  const { open, closed } = statements.pastCounts;
  const statement = where.range.hi === undefined ? open : closed;
  return statement.get(pastBindings(where, { revision, limit: 0 }))?.[0] ?? 0;
}

function netCreated(
  statements: Reads,
  where: { readonly slot: Slot; readonly range: KeyRange },
  revisions: { readonly after: number; readonly upTo: number },
): number {
  const { slot, range } = where;
  const { after, upTo } = revisions;
  const by = upTo - after <= TAIL_REVISIONS ? statements.netOfTail : statements.netOfKeys;
  const lo = keyBlob(range.lo);
  const row =
    range.hi === undefined
      ? by.open.get(slot, after, lo)
      : by.closed.get(slot, after, lo, keyBlob(range.hi));
  return row?.[0] ?? 0;
}

function scanPast(
  statements: Reads,
  where: { readonly slot: Slot; readonly range: KeyRange },
  options: ScanOptions & { readonly revision: number },
): readonly KeyValue[] {
  const { open, closed } = pairOf(statements.pastScans, options);
  const statement = where.range.hi === undefined ? open : closed;
  return statement.all(pastBindings(where, options)).map(keyValueOfFull);
}

function pastBindings(
  where: { readonly slot: Slot; readonly range: KeyRange },
  options: { readonly revision: number; readonly limit: number },
): Readonly<Record<string, number | Buffer>> {
  const { slot, range } = where;
  const { revision } = options;
  const limit = options.limit > 0 ? options.limit : UNLIMITED;
  const bindings = { slot, revision, limit, lo: keyBlob(range.lo) };
  return range.hi === undefined ? bindings : { ...bindings, hi: keyBlob(range.hi) };
}

interface NetPair {
  readonly open: Statement<unknown[], [number]>;
  readonly closed: Statement<unknown[], [number]>;
}

interface ScanPair {
  readonly open: Statement<unknown[], FullRow>;
  readonly closed: Statement<unknown[], FullRow>;
}

/** One pair per combination of direction and width. */
type Scans = Readonly<
  Record<"ascending" | "descending", Readonly<Record<"wide" | "narrow", ScanPair>>>
>;

function pairOf(scans: Scans, options: ScanOptions): ScanPair {
  const direction = options.descending ? scans.descending : scans.ascending;
  return options.withValues ? direction.wide : direction.narrow;
}

function prepareReads(database: Database) {
  const raw = <Row>(sql: string): Statement<unknown[], Row> =>
    database.prepare<unknown[], Row>(sql).raw();
  const open = "slot = ? AND key >= ?";
  const closed = "slot = ? AND key >= ? AND key < ?";
  const keys = "current";
  const columns = (record: string): string => `key, create_rev, mod_rev, version, lease, ${record}`;
  const scansOf = (pair: (record: string, order: Order) => ScanPair): Scans => ({
    ascending: { wide: pair(RECORD, "ASC"), narrow: pair("NULL", "ASC") },
    descending: { wide: pair(RECORD, "DESC"), narrow: pair("NULL", "DESC") },
  });
  const scan = (record: string, where: string, order: string): Statement<unknown[], FullRow> =>
    raw(`SELECT ${columns(record)} FROM current WHERE ${where} ORDER BY key ${order} LIMIT ?`);
  const past = (record: string, isClosed: boolean, order: Order): Statement<unknown[], FullRow> =>
    raw(
      `${historyKeys(isClosed, order)}
       SELECT h.key, create_rev, mod_rev, version, lease, ${record} FROM keys ${NEWEST_AT}`,
    );
  const pastCount = (isClosed: boolean): Statement<unknown[], [number]> =>
    raw(`${historyKeys(isClosed, "ASC")} SELECT count(*) FROM (SELECT 1 FROM keys ${NEWEST_AT})`);
  // A unary plus keeps a column from choosing the index: the walk goes by revision then.
  // A version of 1 is a creation, of 0 a delete; other changes leave the number of keys.
  const net = (from: string, key: string): NetPair => {
    const sum = "SELECT total(CASE version WHEN 1 THEN 1 WHEN 0 THEN -1 ELSE 0 END)";
    return {
      open: raw(`${sum} FROM ${from} >= ?`),
      closed: raw(`${sum} FROM ${from} >= ? AND ${key} < ?`),
    };
  };
  return {
    get: raw<KeyedRow>(
      `SELECT create_rev, mod_rev, version, lease, ${RECORD} FROM current
       WHERE slot = ? AND key = ?`,
    ),
    getAt: raw<KeyedRow>(
      `SELECT create_rev, mod_rev, version, lease, ${RECORD} FROM history INDEXED BY history_keys
       WHERE slot = ? AND key = ? AND mod_rev <= ? ORDER BY mod_rev DESC, sub DESC LIMIT 1`,
    ),
    scans: scansOf((record, order) => ({
      open: scan(record, open, order),
      closed: scan(record, closed, order),
    })),
    pastScans: scansOf((record, order) => ({
      open: past(record, false, order),
      closed: past(record, true, order),
    })),
    count: raw<[number]>(`SELECT count(*) FROM ${keys} WHERE ${closed}`),
    countOpen: raw<[number]>(`SELECT count(*) FROM ${keys} WHERE ${open}`),
    countPage: raw<[number, Buffer | null]>(
      `SELECT count(*), max(key) FROM
       (SELECT key FROM ${keys} WHERE ${closed} ORDER BY key LIMIT ?)`,
    ),
    countPageOpen: raw<[number, Buffer | null]>(
      `SELECT count(*), max(key) FROM (SELECT key FROM ${keys} WHERE ${open} ORDER BY key LIMIT ?)`,
    ),
    netOfTail: net("history WHERE slot = ? AND mod_rev > ? AND +key", "+key"),
    netOfKeys: net("history INDEXED BY history_keys WHERE slot = ? AND mod_rev > ? AND key", "key"),
    pastCounts: { open: pastCount(false), closed: pastCount(true) },
  };
}
