import type { CofferError } from "../errors.ts";
import { type FileMac, TAG_BYTES, changedError, tagged } from "./file-mac.ts";

/**
 * Authenticates the rows of state.db that say who is who and who may what: tenants, their records
 * (policies, issuers, rules, revocations, wrapped keys, settings), members. Values authenticate
 * themselves, as sealed records.
 *
 * The file holds one tag: over the sum of the tags of all those rows and over the numbers of the whole
 * file, the index of the last entry that is applied among them. A row that is changed, added, left out or
 * put back from another day changes the sum, and with another index the authentic log is applied again
 * from there. Tags of single rows are secret and nowhere stored, so that nobody can find rows that add up
 * alike (a keyed set hash: no key of a row may come twice).
 */

export type GuardedTable = "scope" | "record" | "member" | "removed_member" | "conf_state";

/** The columns of a row that count. */
export type GuardedRow = readonly (string | number | Uint8Array)[];

/** A row takes the place of another; undefined: there is none. */
export interface RowChange {
  readonly before: GuardedRow | undefined;
  readonly after: GuardedRow | undefined;
}

const LANES = TAG_BYTES / 4;

export class StateGuard {
  readonly #mac: FileMac;
  readonly #path: string;
  readonly #sum = new Uint32Array(LANES);
  /** As it was last committed. */
  readonly #kept = new Uint32Array(LANES);
  /** What takes back the changes since then. */
  #undo: (() => void)[] = [];

  /** `path` is named in what is refused. */
  constructor(mac: FileMac, path: string) {
    this.#mac = mac;
    this.#path = path;
  }

  /**
   * Counts a row that the file has. Throws `corrupt` for one whose key has come already: a scan can be led
   * to one row 2^32 times, by which it adds nothing to the sum.
   */
  found(table: GuardedTable, row: GuardedRow, isTwice: boolean): void {
    if (isTwice) throw this.refusal();
    this.#add(table, row, 1);
  }

  /** The error of rows that are not those that were last committed. */
  refusal(): CofferError {
    return changedError(this.#path, "tenants, policies or members");
  }

  /** `undo` is called if the changes since the last commit are taken back, those made later first. */
  changed(table: GuardedTable, { before, after }: RowChange, undo: () => void): void {
    if (before !== undefined) this.#add(table, before, -1);
    if (after !== undefined) this.#add(table, after, 1);
    this.#undo.push(undo);
  }

  /** Numbers have changed, which are given to `tag`. */
  moved(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** Of all rows, and of the numbers of the file. */
  tag(numbers: readonly number[]): Uint8Array {
    const bytes = Buffer.alloc(TAG_BYTES + 8 * numbers.length);
    this.#sum.forEach((lane, i) => bytes.writeUInt32BE(lane, i * 4));
    numbers.forEach((value, i) => bytes.writeBigInt64BE(BigInt(value), TAG_BYTES + i * 8));
    return this.#mac.tag(tagged.state, bytes);
  }

  committed(): void {
    this.#kept.set(this.#sum);
    this.#undo = [];
  }

  rolledBack(): void {
    for (const undo of this.#undo.toReversed()) undo();
    this.#undo = [];
    this.#sum.set(this.#kept);
  }

  #add(table: GuardedTable, row: GuardedRow, sign: 1 | -1): void {
    const tag = Buffer.from(this.#mac.tag(tagged.row, encodeRow([table, ...row])));
    for (let i = 0; i < LANES; i++) {
      this.#sum[i] = (this.#sum[i] ?? 0) + sign * tag.readUInt32BE(i * 4);
    }
  }
}

const HEAD_BYTES = 5;
const KINDS = { string: 1, number: 2, bytes: 3 } as const;

/** Each field after what it is and how long, so that no two rows give the same bytes. */
function encodeRow(row: GuardedRow): Buffer {
  const fields = row.map((field) => (typeof field === "number" ? String(field) : field));
  const sizes = fields.map((field) =>
    typeof field === "string" ? Buffer.byteLength(field) : field.length,
  );
  const out = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + HEAD_BYTES + size, 0));
  let at = 0;
  for (const [i, field] of fields.entries()) {
    const size = sizes[i] ?? 0;
    const isNumber = typeof row[i] === "number";
    const kind = isNumber ? KINDS.number : typeof field === "string" ? KINDS.string : KINDS.bytes;
    at = out.writeUInt8(kind, at);
    at = out.writeUInt32BE(size, at);
    if (typeof field === "string") out.write(field, at);
    else out.set(field, at);
    at += size;
  }
  return out;
}
