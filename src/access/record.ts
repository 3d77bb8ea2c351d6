import type { RecordChange, StoredRecord } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { PolicyRow } from "./row.ts";
import { faultOfRow, validateRows } from "./validate.ts";

/**
 * A row as a record of table `policy`. Its id is the row itself, as JSON text: canonical, so that
 * the same row is the same record on every member, and reversible. The data is one byte, the
 * version of this form.
 */
const FORM_VERSION = 1;

export function idOfRow(row: PolicyRow): string {
  return JSON.stringify(row);
}

/** The change that stores `row`, or with "remove" the one that removes it. */
export function recordOf(row: PolicyRow, change: "store" | "remove" = "store"): RecordChange {
  const id = idOfRow(row);
  if (change === "remove") return { table: "policy", id, data: undefined, expect: "present" };
  return { table: "policy", id, data: Uint8Array.of(FORM_VERSION), expect: "any" };
}

/** The row of a stored record. Throws CofferError `record-invalid`. */
export function rowOf(record: StoredRecord): PolicyRow {
  const version = record.data[0];
  if (version !== FORM_VERSION || record.data.length !== 1) {
    throw new CofferError(
      "record-invalid",
      `policy record has form ${version ?? "none"}, this member reads form ${FORM_VERSION}`,
    );
  }
  const row = parseId(record.id);
  const fault = faultOfRow(row);
  if (fault !== undefined) throw new CofferError("record-invalid", `policy record ${fault}`);
  return row as PolicyRow;
}

/**
 * The record changes that add and remove rows of a tenant that now holds `current`. Adding a row
 * that is there already changes nothing. Throws CofferError `invalid-argument` for rows that are
 * not valid (numbered as in `add`) or that together with the others make the policy invalid, and
 * `not-found` for a removed row that is not there.
 */
export function planPolicyChange(
  current: readonly PolicyRow[],
  change: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): readonly RecordChange[] {
  validateRows(change.add);
  const after = new Map(current.map((row) => [idOfRow(row), row]));
  const changes: RecordChange[] = [];
  change.remove.forEach((row, index) => {
    if (!after.delete(idOfRow(row))) {
      throw new CofferError("not-found", `policy row ${index + 1} of those to remove`);
    }
    changes.push(recordOf(row, "remove"));
  });
  for (const row of change.add) {
    const id = idOfRow(row);
    if (after.has(id)) continue;
    after.set(id, row);
    changes.push(recordOf(row));
  }
  // New rows first, so that a fault of the whole is numbered as the caller wrote them.
  for (const row of change.add) after.delete(idOfRow(row));
  validateRows([...change.add, ...after.values()]);
  return changes;
}

/** The rows after `change` of `current`. Throws as `planPolicyChange`. */
export function rowsAfter(
  current: readonly PolicyRow[],
  change: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): readonly PolicyRow[] {
  const after = new Map(current.map((row) => [idOfRow(row), row]));
  for (const { id, data } of planPolicyChange(current, change)) {
    if (data === undefined) after.delete(id);
    else after.set(id, JSON.parse(id) as PolicyRow);
  }
  return [...after.values()];
}

function parseId(id: string): unknown {
  try {
    return JSON.parse(id) as unknown;
  } catch (cause) {
    throw new CofferError("record-invalid", "policy record id is not a row", { cause });
  }
}
