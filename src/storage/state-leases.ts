import type { Database, Statement } from "better-sqlite3";
import type { LeaseId } from "../core/types/mod.ts";
import type { FsmBackend, LeaseBackend } from "../core/fsm/mod.ts";
import { keyOf, leaseIdBlob, leaseOf } from "./state-codec.ts";

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
