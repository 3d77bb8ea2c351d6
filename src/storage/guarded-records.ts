import type { Database } from "better-sqlite3";
import type { RecordTable, StoredRecord } from "../core/types/mod.ts";
import type { FsmBackend, Slot } from "../core/fsm/mod.ts";
import type { GuardedRow, StateGuard } from "./state-guard.ts";

export interface GuardedRecords extends Pick<
  FsmBackend,
  "record" | "records" | "putRecord" | "removeRecord" | "removeRecords"
> {
  /** Removes up to `rows` records of a slot; returns how many. */
  purgeRecords(slot: Slot, rows: number): number;
}

/** The records of one kind of a scope. */
class Shelf {
  readonly #byId = new Map<string, Uint8Array>();
  /** In order, until one comes or goes. */
  #list: readonly StoredRecord[] | undefined;

  get(id: string): Uint8Array | undefined {
    return this.#byId.get(id);
  }

  set(id: string, data: Uint8Array | undefined): void {
    this.#list = undefined;
    if (data === undefined) this.#byId.delete(id);
    else this.#byId.set(id, data);
  }

  ids(): readonly string[] {
    return [...this.#byId.keys()];
  }

  list(): readonly StoredRecord[] {
    this.#list ??= [...this.#byId]
      .map(([id, data]) => ({ id, data, order: Buffer.from(id, "utf8").toString("latin1") }))
      .sort((a, b) => (a.order < b.order ? -1 : 1))
      .map(({ id, data }) => ({ id, data }));
    return this.#list;
  }
}

/** Reads all records, and answers from memory; see guarded-tables.ts. */
export function openRecords(database: Database, guard: StateGuard): GuardedRecords {
  const shelves = new Map<Slot, Map<RecordTable, Shelf>>();
  const shelfOf = (slot: Slot, table: RecordTable): Shelf => {
    let ofSlot = shelves.get(slot);
    if (ofSlot === undefined) shelves.set(slot, (ofSlot = new Map<RecordTable, Shelf>()));
    let shelf = ofSlot.get(table);
    if (shelf === undefined) ofSlot.set(table, (shelf = new Shelf()));
    return shelf;
  };
  const rows = database
    .prepare<unknown[], [Slot, RecordTable, string, Buffer]>(
      "SELECT slot, kind, id, data FROM record",
    )
    .raw();
  for (const row of rows.iterate()) {
    const [slot, table, id, data] = row;
    const shelf = shelfOf(slot, table);
    guard.found("record", row, shelf.get(id) !== undefined);
    shelf.set(id, data);
  }
  const set = (slot: Slot, table: RecordTable, id: string, data: Uint8Array | undefined): void => {
    const shelf = shelfOf(slot, table);
    const before = shelf.get(id);
    shelf.set(id, data);
    const rowOf = (of: Uint8Array | undefined): GuardedRow | undefined =>
      of && [slot, table, id, of];
    const change = { before: rowOf(before), after: rowOf(data) };
    guard.changed("record", change, () => shelfOf(slot, table).set(id, before));
  };
  const put = database.prepare("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM record WHERE slot = ? AND kind = ? AND id = ?");
  const purge = (slot: Slot, most: number): number => {
    const ofSlot = shelves.get(slot);
    let left = most;
    for (const [table, shelf] of ofSlot ?? []) {
      for (const id of shelf.ids()) {
        if (left === 0) return most;
        set(slot, table, id, undefined);
        remove.run(slot, table, id);
        left--;
      }
    }
    // Nothing is left of a tenant that is gone.
    shelves.delete(slot);
    return most - left;
  };
  return {
    record: (slot, table, id) => shelves.get(slot)?.get(table)?.get(id),
    records: (slot, table) => shelves.get(slot)?.get(table)?.list() ?? [],
    putRecord(slot, table, { id, data }) {
      // A copy: what is given may be a part of the whole entry that it came in. Not from node's pool, of
      // which it would keep 8 KiB.
      const kept = Buffer.allocUnsafeSlow(data.length);
      kept.set(data);
      set(slot, table, id, kept);
      put.run(slot, table, id, kept);
    },
    removeRecord(slot, table, id) {
      if (shelves.get(slot)?.get(table)?.get(id) === undefined) return;
      set(slot, table, id, undefined);
      remove.run(slot, table, id);
    },
    removeRecords: (slot) => void purge(slot, Number.POSITIVE_INFINITY),
    purgeRecords: purge,
  };
}
