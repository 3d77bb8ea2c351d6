import type { Database, Statement } from "better-sqlite3";
import type { Key, KeyRange, KeyValue } from "../core/types/mod.ts";
import type { KeyReader, ScanOptions, Slot } from "../core/fsm/mod.ts";
import {
  type FullRow,
  type KeyedRow,
  keyBlob,
  keyOf,
  keyValueOf,
  keyValueOfFull,
} from "./state-codec.ts";

/** SQLite's "no limit". */
const UNLIMITED = -1;

/**
 * Of the versions of a key up to a revision only the newest, and not if it is a delete. Inner scan and
 * probe both stay inside `history_keys`; the wide row is fetched for what is left.
 */
const NEWEST_AT = `h.slot = ? AND h.key >= ? AND h.key < ? AND h.mod_rev <= ? AND h.version > 0
  AND NOT EXISTS (SELECT 1 FROM history n INDEXED BY history_keys
    WHERE n.slot = h.slot AND n.key = h.key AND n.mod_rev <= ?
      AND (n.mod_rev, n.sub) > (h.mod_rev, h.sub))`;

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
    countAt: (slot, range, options) => countPast(statements, { slot, range }, options),
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
  options: { readonly revision: number; readonly limit: number },
): { count: number; last: Key | undefined } {
  const { slot, range } = where;
  const { revision } = options;
  const limit = options.limit > 0 ? options.limit : UNLIMITED;
  const lo = keyBlob(range.lo);
  const row =
    range.hi === undefined
      ? statements.countAtOpen.get(slot, lo, revision, revision, limit)
      : statements.countAt.get(slot, lo, keyBlob(range.hi), revision, revision, limit);
  const last = row?.[1] ?? null;
  return { count: row?.[0] ?? 0, last: last === null ? undefined : keyOf(last) };
}

function scanPast(
  statements: Reads,
  where: { readonly slot: Slot; readonly range: KeyRange },
  options: ScanOptions & { readonly revision: number },
): readonly KeyValue[] {
  const { slot, range } = where;
  const { revision } = options;
  const limit = options.limit > 0 ? options.limit : UNLIMITED;
  const { open, closed } = pairOf(statements.pastScans, options);
  const lo = keyBlob(range.lo);
  const rows =
    range.hi === undefined
      ? open.all(slot, lo, revision, revision, limit)
      : closed.all(slot, lo, keyBlob(range.hi), revision, revision, limit);
  return rows.map(keyValueOfFull);
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
  const keys = "current INDEXED BY current_keys";
  const newestOpen = NEWEST_AT.replace("AND h.key < ? ", "");
  const columns = (record: string): string => `key, create_rev, mod_rev, version, lease, ${record}`;
  const scansOf = (pair: (record: string, order: string) => ScanPair): Scans => ({
    ascending: { wide: pair("record", "ASC"), narrow: pair("NULL", "ASC") },
    descending: { wide: pair("record", "DESC"), narrow: pair("NULL", "DESC") },
  });
  const scan = (record: string, where: string, order: string): Statement<unknown[], FullRow> =>
    raw(`SELECT ${columns(record)} FROM current WHERE ${where} ORDER BY key ${order} LIMIT ?`);
  const past = (record: string, where: string, order: string): Statement<unknown[], FullRow> =>
    raw(
      `SELECT ${columns(record)} FROM history h INDEXED BY history_keys WHERE ${where}
       ORDER BY key ${order} LIMIT ?`,
    );
  return {
    get: raw<KeyedRow>(
      "SELECT create_rev, mod_rev, version, lease, record FROM current WHERE slot = ? AND key = ?",
    ),
    getAt: raw<KeyedRow>(
      `SELECT create_rev, mod_rev, version, lease, record FROM history INDEXED BY history_keys
       WHERE slot = ? AND key = ? AND mod_rev <= ? ORDER BY mod_rev DESC, sub DESC LIMIT 1`,
    ),
    scans: scansOf((record, order) => ({
      open: scan(record, open, order),
      closed: scan(record, closed, order),
    })),
    pastScans: scansOf((record, order) => ({
      open: past(record, newestOpen, order),
      closed: past(record, NEWEST_AT, order),
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
    countAt: raw<[number, Buffer | null]>(countPastSql(NEWEST_AT)),
    countAtOpen: raw<[number, Buffer | null]>(countPastSql(newestOpen)),
  };
}

function countPastSql(where: string): string {
  return `SELECT count(*), max(key) FROM
    (SELECT key FROM history h INDEXED BY history_keys WHERE ${where} ORDER BY key LIMIT ?)`;
}
