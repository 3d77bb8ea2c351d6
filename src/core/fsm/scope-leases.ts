import type { Key, LeaseId } from "../types/mod.ts";
import type { LeaseRow, LeaseRows } from "../lease/mod.ts";
import type { FsmBackend, ScopeRow } from "./backend.ts";

const MS = 1000;

/** The deadline in the rows of a suspended tenant's leases: it never comes. */
const PARKED: number = Number.MAX_SAFE_INTEGER;

/**
 * The leases of one scope with the deadlines that count. To suspend or resume a tenant must not rewrite
 * all its leases at once, so it only moves the scope's `leaseFloor`; the rows follow in slices
 * (`settleLeases`), and meanwhile every read corrects them.
 */
export class ScopeLeases implements LeaseRows {
  readonly #backend: FsmBackend;
  readonly #scope: ScopeRow;

  constructor(backend: FsmBackend, scope: ScopeRow) {
    this.#backend = backend;
    this.#scope = scope;
  }

  lease(slot: number, id: LeaseId): LeaseRow | undefined {
    const row = this.#backend.lease(slot, id);
    return row === undefined ? undefined : this.#counting(row);
  }

  leases(slot: number): readonly LeaseRow[] {
    const rows = this.#backend.leases(slot);
    if (this.#scope.leaseFloor < 0) return rows;
    return rows.map((row) => this.#counting(row)).toSorted((a, b) => a.deadline - b.deadline);
  }

  putLease(slot: number, row: LeaseRow): void {
    this.#backend.putLease(slot, row);
  }

  removeLease(slot: number, id: LeaseId): void {
    this.#backend.removeLease(slot, id);
  }

  leaseKeys(slot: number, id: LeaseId): readonly Key[] {
    return this.#backend.leaseKeys(slot, id);
  }

  #counting(row: LeaseRow): LeaseRow {
    const deadline = deadlineOf(row, this.#scope.leaseFloor);
    return deadline === row.deadline ? row : { ...row, deadline };
  }
}

function deadlineOf({ ttl, deadline }: LeaseRow, floor: number): number {
  const earliest = floor + ttl * MS;
  return deadline === PARKED ? earliest : Math.max(deadline, earliest);
}

/**
 * Writes into the rows of up to `limit` leases what their scope's `leaseFloor` made of them. Those of a
 * suspended scope are parked, so that whoever looks for expired ones does not meet them each time.
 * Returns where to go on, `undefined` at the end.
 */
export function settleLeases(
  backend: FsmBackend,
  { slot, suspended, leaseFloor }: ScopeRow,
  page: { readonly after: LeaseId | undefined; readonly limit: number },
): LeaseId | undefined {
  const rows = backend.leasePage(slot, page.after, page.limit);
  for (const row of rows) {
    const deadline = suspended ? PARKED : deadlineOf(row, leaseFloor);
    if (deadline !== row.deadline) backend.putLease(slot, { ...row, deadline });
  }
  return rows.length < page.limit ? undefined : rows.at(-1)?.id;
}
