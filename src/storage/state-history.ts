import type { Database, Statement } from "better-sqlite3";
import type { KeyBackend, KeyReader } from "../core/fsm/mod.ts";
import type { Key, KeyValue } from "../core/types/mod.ts";
import { assert } from "../stdx/mod.ts";
import {
  HISTORY_COLUMNS,
  type HistoryTuple,
  actorText,
  historyRowOf,
  keyBlob,
  keyOf,
  leaseBlob,
} from "./state-codec.ts";
import type { HistoryMark, HistoryRow } from "../core/fsm/mod.ts";

/** All of the key backend but reading keys. */
export type KeyWrites = Omit<KeyBackend, keyof KeyReader>;

/** SQLite's "no limit" and "no bound". */
const UNLIMITED = -1;

export interface KeyWriter extends KeyWrites {
  /** A transaction begins: what one that was rolled back has left is forgotten. */
  begin(): void;
}

export function createKeyWrites(database: Database): KeyWriter {
  const values = new SealedValues(database);
  return {
    begin: () => values.forget(),
    ...createCurrentWrites(database, values),
    ...createHistory(database, values),
  };
}

/**
 * The `sealed` rows of the transaction under way. A put and the history row appended for it share one:
 * `put` adds it, `append` takes it, and compaction removes it with the history row. So the current row
 * of a key never outlives its value, as compaction keeps the newest version of each key.
 */
class SealedValues {
  readonly #insert: Statement;
  /** By key: what was put and has no history row yet. */
  readonly #added = new Map<Key, { slot: number; modRevision: number; id: number | bigint }>();

  constructor(database: Database) {
    this.#insert = database.prepare("INSERT INTO sealed (record) VALUES (?)");
  }

  add(slot: number, kv: KeyValue): number | bigint {
    const { key, modRevision, value } = kv;
    const added = this.#added.get(key);
    const isTwice = added?.slot === slot && added.modRevision === modRevision;
    assert(!isTwice, "A key was put twice in one revision");
    const id = this.#insert.run(value).lastInsertRowid;
    this.#added.set(key, { slot, modRevision, id });
    return id;
  }

  /** The id for a history row: the put's, or a new one where history is written by itself. */
  take(slot: number, kv: KeyValue): number | bigint {
    const { key, modRevision, value } = kv;
    const added = this.#added.get(key);
    if (added?.slot !== slot || added.modRevision !== modRevision) {
      return this.#insert.run(value).lastInsertRowid;
    }
    this.#added.delete(key);
    return added.id;
  }

  forget(): void {
    this.#added.clear();
  }
}

function createCurrentWrites(
  database: Database,
  values: SealedValues,
): Pick<KeyWrites, "put" | "remove"> {
  const insert = database.prepare("INSERT INTO current VALUES (?, ?, ?, ?, ?, ?, ?)");
  // The lease column is left out where it stays, so that its index is not looked at.
  const update = database.prepare(
    "UPDATE current SET mod_rev = ?, version = ?, sealed_id = ? WHERE slot = ? AND key = ?",
  );
  const updateLease = database.prepare(
    `UPDATE current SET create_rev = ?, mod_rev = ?, version = ?, sealed_id = ?, lease = ?
     WHERE slot = ? AND key = ?`,
  );
  const remove = database.prepare("DELETE FROM current WHERE slot = ? AND key = ?");
  return {
    put(slot, kv, previous) {
      const { key, createRevision, modRevision, version, lease } = kv;
      const blob = keyBlob(key);
      const id = values.add(slot, kv);
      if (previous === undefined) {
        insert.run(slot, blob, createRevision, modRevision, version, leaseBlob(lease), id);
      } else if (previous.lease === lease) {
        update.run(modRevision, version, id, slot, blob);
      } else {
        const change = [createRevision, modRevision, version, id, leaseBlob(lease)];
        updateLease.run(...change, slot, blob);
      }
    },
    remove(slot, key) {
      remove.run(slot, keyBlob(key));
    },
  };
}

function createHistory(
  database: Database,
  values: SealedValues,
): Omit<KeyWrites, "put" | "remove"> {
  const statements = prepareHistory(database);
  const remove = (slot: number, revision: number, sub: number): void => {
    const id = statements.removeChange.get(slot, revision, sub)?.[0] ?? null;
    if (id !== null) statements.removeSealed.run(id);
  };
  return {
    append(slot, { type, sub, kv, actor, time, hash, garbage }) {
      const version = type === "delete" ? 0 : kv.version;
      const lease = leaseBlob(kv.lease);
      const { key, createRevision, modRevision } = kv;
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
        type === "delete" ? null : values.take(slot, kv),
        garbage ?? null,
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
    revisionRow(slot, revision) {
      const row = statements.revisionRow.get(slot, revision);
      // What an older version has written says no garbage up to its compacted revision.
      return row && { time: row[0], hash: row[1], garbage: row[2] ?? 0 };
    },
    marks(slot, after, { to, limit }) {
      return statements.marks.all(slot, after.revision, after.sub, to, limit).map(markOf);
    },
    removeBefore(slot, key, { revision, sub }) {
      const rows = statements.before.all(slot, keyBlob(key), revision, sub);
      for (const [rev, at] of rows) remove(slot, rev, at);
      return rows.length;
    },
    removeChange: (slot, { revision, sub }) => remove(slot, revision, sub),
  };
}

function markOf([revision, sub, key, version]: [number, number, Buffer, number]): HistoryMark {
  return { revision, sub, key: keyOf(key), type: version === 0 ? "delete" : "put" };
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
      "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    revisionRow: raw<[number, Buffer, number | null]>(
      "SELECT time, hash, garbage FROM history WHERE slot = ? AND mod_rev = ? AND sub = 0",
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
    removeChange: raw<[number | null]>(
      "DELETE FROM history WHERE slot = ? AND mod_rev = ? AND sub = ? RETURNING sealed_id",
    ),
    removeSealed: database.prepare<unknown[], never>("DELETE FROM sealed WHERE id = ?"),
  };
}
