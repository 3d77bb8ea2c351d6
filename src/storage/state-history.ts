import type { Database, Statement } from "better-sqlite3";
import type { KeyBackend, KeyReader } from "../core/fsm/mod.ts";
import {
  HISTORY_COLUMNS,
  type HistoryTuple,
  actorText,
  historyRowOf,
  keyBlob,
  keyOf,
  leaseBlob,
} from "./state-codec.ts";
import type { HistoryRow } from "../core/fsm/mod.ts";

/** All of the key backend but reading keys. */
export type KeyWrites = Omit<KeyBackend, keyof KeyReader>;

/** SQLite's "no limit" and "no bound". */
const UNLIMITED = -1;

export function createKeyWrites(database: Database): KeyWrites {
  return { ...createCurrentWrites(database), ...createHistory(database) };
}

function createCurrentWrites(database: Database): Pick<KeyWrites, "put" | "remove"> {
  const insert = database.prepare("INSERT INTO current VALUES (?, ?, ?, ?, ?, ?, ?)");
  // The lease column is left out where it stays, so that its index is not looked at.
  const update = database.prepare(
    "UPDATE current SET mod_rev = ?, version = ?, record = ? WHERE slot = ? AND key = ?",
  );
  const updateLease = database.prepare(
    `UPDATE current SET create_rev = ?, mod_rev = ?, version = ?, record = ?, lease = ?
     WHERE slot = ? AND key = ?`,
  );
  const remove = database.prepare("DELETE FROM current WHERE slot = ? AND key = ?");
  return {
    put(slot, kv, previous) {
      const { key, createRevision, modRevision, version, lease, value } = kv;
      const blob = keyBlob(key);
      if (previous === undefined) {
        insert.run(slot, blob, createRevision, modRevision, version, leaseBlob(lease), value);
      } else if (previous.lease === lease) {
        update.run(modRevision, version, value, slot, blob);
      } else {
        const change = [createRevision, modRevision, version, value, leaseBlob(lease)];
        updateLease.run(...change, slot, blob);
      }
    },
    remove(slot, key) {
      remove.run(slot, keyBlob(key));
    },
  };
}

function createHistory(database: Database): Omit<KeyWrites, "put" | "remove"> {
  const statements = prepareHistory(database);
  return {
    append(slot, { type, sub, kv, actor, time, hash }) {
      const version = type === "delete" ? 0 : kv.version;
      const lease = leaseBlob(kv.lease);
      const { key, createRevision, modRevision, value } = kv;
      statements.append.run(
        slot,
        modRevision,
        sub,
        keyBlob(key),
        createRevision,
        version,
        lease,
        time,
        hash ?? null,
        actorText(actor),
        value,
      );
    },
    changedAfter(slot, range, revision) {
      const lo = keyBlob(range.lo);
      const row =
        range.hi === undefined
          ? statements.changedAfterOpen.get(slot, revision, lo)
          : statements.changedAfter.get(slot, revision, lo, keyBlob(range.hi));
      return row !== undefined;
    },
    lastChange(slot, range) {
      const lo = keyBlob(range.lo);
      const row =
        range.hi === undefined
          ? statements.lastChangeOpen.get(slot, lo)
          : range.hi === `${range.lo}\0`
            ? statements.lastChangeOfKey.get(slot, lo)
            : statements.lastChange.get(slot, lo, keyBlob(range.hi));
      return row?.[0] ?? 0;
    },
    changes: (slot, bounds) =>
      takeBytes(statements.changes.iterate(slot, bounds.from, bounds.to), bounds.bytesMax),
    historyOf(slot, key, before, limit) {
      const below = before > 0 ? before : Number.MAX_SAFE_INTEGER;
      const rows = statements.ofKey.all(slot, keyBlob(key), below, limit > 0 ? limit : UNLIMITED);
      return rows.map(historyRowOf);
    },
    hashAt: (slot, revision) => statements.hashAt.get(slot, revision)?.[0] ?? undefined,
    marks(slot, after, { to, limit }) {
      const rows = statements.marks.all(slot, after.revision, after.sub, to, limit);
      return rows.map(([revision, sub, key, version]) => ({
        revision,
        sub,
        key: keyOf(key),
        type: version === 0 ? ("delete" as const) : ("put" as const),
      }));
    },
    removeBefore(slot, key, { revision, sub }) {
      let removed = 0;
      for (const [rev, at] of statements.before.all(slot, keyBlob(key), revision, sub)) {
        removed += statements.removeChange.run(slot, rev, at).changes;
      }
      return removed;
    },
    removeChange(slot, { revision, sub }) {
      statements.removeChange.run(slot, revision, sub);
    },
  };
}

/** Takes rows up to the end of the revision that reaches `bytesMax`. */
function takeBytes(rows: Iterable<HistoryTuple>, bytesMax: number): readonly HistoryRow[] {
  const taken: HistoryRow[] = [];
  let bytes = 0;
  let lastRevision = 0;
  for (const tuple of rows) {
    const row = historyRowOf(tuple);
    if (bytes >= bytesMax && row.kv.modRevision !== lastRevision) break;
    lastRevision = row.kv.modRevision;
    bytes += row.kv.key.length + row.kv.value.length;
    taken.push(row);
  }
  return taken;
}

function prepareHistory(database: Database) {
  const raw = <Row>(sql: string): Statement<unknown[], Row> =>
    database.prepare<unknown[], Row>(sql).raw();
  const byKey = "history INDEXED BY history_keys";
  return {
    append: database.prepare<unknown[], never>(
      "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    // Walks what is new since the revision, usually little, and not the versions of a whole range.
    changedAfter: raw<[number]>(
      `SELECT 1 FROM history WHERE slot = ? AND mod_rev > ? AND +key >= ? AND +key < ? LIMIT 1`,
    ),
    changedAfterOpen: raw<[number]>(
      "SELECT 1 FROM history WHERE slot = ? AND mod_rev > ? AND +key >= ? LIMIT 1",
    ),
    lastChange: raw<[number | null]>(
      `SELECT max(mod_rev) FROM ${byKey} WHERE slot = ? AND key >= ? AND key < ?`,
    ),
    lastChangeOpen: raw<[number | null]>(
      `SELECT max(mod_rev) FROM ${byKey} WHERE slot = ? AND key >= ?`,
    ),
    lastChangeOfKey: raw<[number]>(
      `SELECT mod_rev FROM ${byKey} WHERE slot = ? AND key = ?
       ORDER BY mod_rev DESC, sub DESC LIMIT 1`,
    ),
    changes: raw<HistoryTuple>(
      `SELECT ${HISTORY_COLUMNS} FROM history
       WHERE slot = ? AND mod_rev >= ? AND mod_rev <= ? ORDER BY mod_rev, sub`,
    ),
    ofKey: raw<HistoryTuple>(
      `SELECT ${HISTORY_COLUMNS} FROM ${byKey} WHERE slot = ? AND key = ? AND mod_rev < ?
       ORDER BY mod_rev DESC, sub DESC LIMIT ?`,
    ),
    hashAt: raw<[Buffer | null]>(
      "SELECT hash FROM history WHERE slot = ? AND mod_rev = ? AND sub = 0",
    ),
    marks: raw<[number, number, Buffer, number]>(
      `SELECT mod_rev, sub, key, version FROM history
       WHERE slot = ? AND (mod_rev, sub) > (?, ?) AND mod_rev <= ?
       ORDER BY mod_rev, sub LIMIT ?`,
    ),
    before: raw<[number, number]>(
      `SELECT mod_rev, sub FROM ${byKey}
       WHERE slot = ? AND key = ? AND (mod_rev, sub) < (?, ?)`,
    ),
    removeChange: database.prepare<unknown[], never>(
      "DELETE FROM history WHERE slot = ? AND mod_rev = ? AND sub = ?",
    ),
  };
}
