import type { Database } from "better-sqlite3";
import { type FileMac, TAG_BYTES, changedError, isTag, tagged } from "./file-mac.ts";
import { memberIdBlob } from "./state-codec.ts";
import type { ScopeTables } from "./state-scopes.ts";

/**
 * Authenticates the rows of state.db that say who is who and who may what: tenants, their records
 * (policies, issuers, rules, revocations, wrapped keys, settings), members. Values authenticate
 * themselves, as sealed records.
 *
 * The file holds one tag: over the sum of the tags of all those rows and the index of the last entry that
 * is applied. A row that is changed, added, left out or put back from another day changes the sum, and
 * with another index the authentic log is applied again from there. Tags of single rows are secret and
 * nowhere stored, so that nobody can find rows that add up alike (a keyed multiset hash; addition and not
 * exclusive or, so that a row that is there twice is not the same as none).
 */
export interface StateGuard {
  /** The tables, kept account of as they are written. */
  keep(tables: ScopeTables): ScopeTables;
  /** Rows of `record` that were removed past the tables. */
  removed(rows: readonly Row[]): void;
  /** To be called before each commit; writes the tag. */
  seal(): void;
  committed(): void;
  rolledBack(): void;
}

/** The columns of a row, in the order of `COLUMNS`. */
export type Row = readonly (string | number | Buffer)[];

type Table = "scope" | "record" | "member" | "removed_member" | "conf_state";

/** Of a scope only what somebody has decided: its revisions and counts move with every write. */
export const COLUMNS: Readonly<Record<Table, string>> = {
  scope: "slot, id, name, created, deleted, suspended, limits, compaction",
  record: "slot, kind, id, data",
  member: "id, name, peer_urls, client_urls, is_learner",
  removed_member: "id",
  conf_state: "id, data",
};

const LANES = TAG_BYTES / 4;

/** Reads all rows, and throws `corrupt` if they are not those that were last committed. */
export function openGuard(database: Database, mac: FileMac, path: string): StateGuard {
  const sum = new RowSum(mac);
  for (const table of Object.keys(COLUMNS) as Table[]) {
    const rows = database.prepare(`SELECT ${COLUMNS[table]} FROM ${table}`).raw();
    for (const row of rows.iterate() as Iterable<Row>) sum.add(table, row);
  }
  const applied = database
    .prepare<unknown[], number>(
      "SELECT value FROM meta WHERE name IN ('applied_index', 'applied_term') ORDER BY name",
    )
    .pluck();
  const tag = (): Uint8Array => sum.tag(applied.all());
  const stored = database.prepare("SELECT tag FROM guard").pluck().get();
  const write = database.prepare("INSERT OR REPLACE INTO guard VALUES (0, ?)");
  if (stored === undefined && isNew(database, applied.all())) write.run(tag());
  else if (!isTag(tag(), stored)) throw changedError(path, "tenants, policies or members");
  sum.keep();
  return {
    keep: (tables) => keptTables(database, sum, tables),
    removed(rows) {
      for (const row of rows) sum.remove("record", row);
    },
    seal() {
      write.run(tag());
    },
    committed: () => sum.keep(),
    rolledBack: () => sum.undo(),
  };
}

/** A file that has just been made. Who empties another gains no more than by deleting it. */
function isNew(database: Database, applied: readonly number[]): boolean {
  if (applied.some((value) => value !== 0)) return false;
  const tables = [...Object.keys(COLUMNS), "current", "history", "sealed", "lease"];
  return tables.every(
    (table) => database.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() === undefined,
  );
}

class RowSum {
  readonly #mac: FileMac;
  readonly #sum = new Uint32Array(LANES);
  /** As it was last committed. */
  readonly #kept = new Uint32Array(LANES);

  constructor(mac: FileMac) {
    this.#mac = mac;
  }

  add(table: Table, row: Row): void {
    const lanes = this.#lanesOf(table, row);
    for (let i = 0; i < LANES; i++) this.#sum[i] = (this.#sum[i] ?? 0) + (lanes[i] ?? 0);
  }

  remove(table: Table, row: Row): void {
    const lanes = this.#lanesOf(table, row);
    for (let i = 0; i < LANES; i++) this.#sum[i] = (this.#sum[i] ?? 0) - (lanes[i] ?? 0);
  }

  tag(applied: readonly number[]): Uint8Array {
    const bytes = Buffer.alloc(TAG_BYTES + 8 * applied.length);
    this.#sum.forEach((lane, i) => bytes.writeUInt32BE(lane, i * 4));
    applied.forEach((value, i) => bytes.writeBigUInt64BE(BigInt(value), TAG_BYTES + i * 8));
    return this.#mac.tag(tagged.state, bytes);
  }

  keep(): void {
    this.#kept.set(this.#sum);
  }

  undo(): void {
    this.#sum.set(this.#kept);
  }

  #lanesOf(table: Table, row: Row): number[] {
    const tag = Buffer.from(this.#mac.tag(tagged.row, encodeRow([table, ...row])));
    return Array.from({ length: LANES }, (_, i) => tag.readUInt32BE(i * 4));
  }
}

/** Each field after what it is and how long, so that no two rows give the same bytes. */
function encodeRow(row: Row): Buffer {
  return Buffer.concat(
    row.flatMap((field) => {
      const bytes = Buffer.isBuffer(field) ? field : Buffer.from(String(field), "utf8");
      const head = Buffer.alloc(5);
      head.writeUInt8(typeof field === "string" ? 1 : typeof field === "number" ? 2 : 3);
      head.writeUInt32BE(bytes.length, 1);
      return [head, bytes];
    }),
  );
}

/** What is written goes out of the sum as it was before, and into it as it is then. */
function keptTables(database: Database, sum: RowSum, tables: ScopeTables): ScopeTables {
  const around = (
    table: Table,
    where: string,
  ): ((values: readonly unknown[], write: () => void) => void) => {
    const find = database
      .prepare<unknown[], Row>(`SELECT ${COLUMNS[table]} FROM ${table} WHERE ${where}`)
      .raw();
    return (values, write) => {
      for (const row of find.all(...values)) sum.remove(table, row);
      write();
      for (const row of find.all(...values)) sum.add(table, row);
    };
  };
  const scope = around("scope", "slot = ?");
  const record = around("record", "slot = ? AND kind = ? AND id = ?");
  const records = around("record", "slot = ?");
  const member = around("member", "id = ?");
  const removedMember = around("removed_member", "id = ?");
  const confState = around("conf_state", "id = 0");
  return {
    ...tables,
    putScope: (row) => scope([row.slot], () => tables.putScope(row)),
    removeScope: (slot) => scope([slot], () => tables.removeScope(slot)),
    putRecord: (slot, table, row) =>
      record([slot, table, row.id], () => tables.putRecord(slot, table, row)),
    removeRecord: (slot, table, id) =>
      record([slot, table, id], () => tables.removeRecord(slot, table, id)),
    removeRecords: (slot) => records([slot], () => tables.removeRecords(slot)),
    putMember: (row) => member([memberIdBlob(row.id)], () => tables.putMember(row)),
    removeMember(id) {
      const blob = [memberIdBlob(id)];
      member(blob, () => removedMember(blob, () => tables.removeMember(id)));
    },
    setConfState: (data) => confState([], () => tables.setConfState(data)),
  };
}
