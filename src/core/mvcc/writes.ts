import {
  type DeleteRangeRequest,
  type Key,
  type KeyRange,
  type PutRequest,
  type TxnRequest,
  isEmptyRange,
  keyRange,
  rangeHas,
} from "../types/mod.ts";
import type { KeyBackend } from "./backend.ts";
import { type TxnPlan, branchOf } from "./txn.ts";

/** What a command is about to write, as far as it is known before it does. */
export interface PlannedWrites {
  readonly puts: readonly PutRequest[];
  readonly deletes: readonly DeleteRangeRequest[];
}

/** The writes of the branches that `plan` takes. */
export function writesOf(request: TxnRequest, plan: TxnPlan): PlannedWrites {
  const puts: PutRequest[] = [];
  const deletes: DeleteRangeRequest[] = [];
  const walk = (txn: TxnRequest, { succeeded, nested }: TxnPlan): void => {
    let nestedAt = 0;
    for (const op of branchOf(txn, succeeded)) {
      if (op.kind === "put") puts.push(op.request);
      if (op.kind === "delete-range") deletes.push(op.request);
      const inner = op.kind === "txn" ? nested[nestedAt++] : undefined;
      if (op.kind === "txn" && inner !== undefined) walk(op.request, inner);
    }
  };
  walk(request, plan);
  return { puts, deletes };
}

/** The bytes that the puts add to history: of each its key and sealed value, kept ones too. */
export function bytesPut(backend: KeyBackend, slot: number, { puts }: PlannedWrites): number {
  let bytes = 0;
  for (const { key, value, ignoreValue } of puts) {
    const kept = ignoreValue ? backend.get(slot, key)?.value.length : undefined;
    bytes += key.length + (kept ?? value.length);
  }
  return bytes;
}

/**
 * How many keys more there will be, negative for less; those deleted are counted only if others are
 * added. A checked transaction that both puts and deletes a key does so in this order, so no deleted
 * key is there at its end.
 */
export function keysGained(backend: KeyBackend, slot: number, writes: PlannedWrites): number {
  const deletes = writes.deletes.map(({ key, rangeEnd }) => keyRange(key, rangeEnd));
  const isDeleted = (key: Key): boolean => deletes.some((range) => rangeHas(range, key));
  let gained = 0;
  for (const { key } of writes.puts) {
    if (!isDeleted(key) && backend.get(slot, key) === undefined) gained += 1;
  }
  if (gained === 0) return 0;
  for (const range of merged(deletes)) gained -= backend.count(slot, range, 0).count;
  return gained;
}

/** The same keys in ranges that do not meet. */
function merged(ranges: readonly KeyRange[]): readonly KeyRange[] {
  const apart: KeyRange[] = [];
  const sorted = ranges
    .filter((range) => !isEmptyRange(range))
    .toSorted((a, b) => (a.lo < b.lo ? -1 : 1));
  for (const range of sorted) {
    const last = apart.at(-1);
    if (last === undefined || (last.hi !== undefined && last.hi < range.lo)) {
      apart.push(range);
      continue;
    }
    const isLonger = last.hi !== undefined && (range.hi === undefined || range.hi > last.hi);
    if (isLonger) apart[apart.length - 1] = { lo: last.lo, hi: range.hi };
  }
  return apart;
}
