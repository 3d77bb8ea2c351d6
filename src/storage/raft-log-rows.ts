import { crc32 } from "node:zlib";
import { type MemberId, memberId } from "../core/types/mod.ts";
import type { Entry, HardState } from "../core/raft/mod.ts";
import { assert } from "../stdx/mod.ts";

/** The rows of raft.db and their checksums: SQLite itself would not notice a flipped bit. */

export interface EntryRow {
  readonly idx: number;
  readonly term: number;
  readonly kind: number;
  readonly data: Uint8Array;
  /** The commit index as it was when the row was saved. */
  readonly commit_idx: number;
  readonly crc: number;
}

/** In the order in which they are bound. */
export const ENTRY_COLUMNS = "idx, term, kind, data, commit_idx, crc";

const kinds: readonly Entry["kind"][] = ["normal", "conf-change"];

const ENTRY_HEAD_BYTES = 25;
const HARD_STATE_BYTES = 24;
const BASE_BYTES = 16;

const entryHead = new DataView(new ArrayBuffer(ENTRY_HEAD_BYTES));
const entryHeadBytes = new Uint8Array(entryHead.buffer);

/** The number that stands for the kind in its row. */
export function kindNumber(kind: Entry["kind"]): number {
  return kinds.indexOf(kind);
}

/** CRC-32 over all other columns, so that a row in the wrong place is noticed as well. */
export function entryCrc(row: Omit<EntryRow, "crc">): number {
  const { data } = row;
  putSafe(entryHead, 0, row.idx);
  putSafe(entryHead, 8, row.term);
  putSafe(entryHead, 16, row.commit_idx);
  entryHead.setUint8(24, row.kind);
  const headCrc = crc32(entryHeadBytes);
  // An empty BLOB comes from SQLite as bytes at no address, for which zlib begins the sum anew.
  return data.length === 0 ? headCrc : crc32(data, headCrc);
}

/** The entry of a row, or undefined if the row is damaged. */
export function entryOfRow(row: EntryRow): Entry | undefined {
  const { idx, term, data } = row;
  const kind = kinds[row.kind];
  if (kind === undefined || ![idx, term, row.commit_idx].every(isIndex)) return undefined;
  if (!(data instanceof Uint8Array)) return undefined;
  if (entryCrc(row) !== row.crc) return undefined;
  return { index: idx, term, kind, data };
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Term, vote and commit, each 64 bits, then the CRC-32 of the three. */
export function hardStateRecord(hardState: HardState): Uint8Array {
  const view = new DataView(new ArrayBuffer(HARD_STATE_BYTES + 4));
  putSafe(view, 0, hardState.term);
  view.setBigUint64(8, BigInt.asUintN(64, hardState.vote));
  putSafe(view, 16, hardState.commit);
  return sealRecord(view);
}

export function hardStateOfRecord(record: Uint8Array): HardState | undefined {
  const view = openRecord(record, HARD_STATE_BYTES);
  if (view === undefined) return undefined;
  const vote: MemberId = memberId(view.getBigUint64(8));
  return { term: getSafe(view, 0), vote, commit: getSafe(view, 16) };
}

/** Where the log begins: the last index it has forgotten, and its term. */
export interface LogBase {
  readonly index: number;
  readonly term: number;
}

export function baseRecord(base: LogBase): Uint8Array {
  const view = new DataView(new ArrayBuffer(BASE_BYTES + 4));
  putSafe(view, 0, base.index);
  putSafe(view, 8, base.term);
  return sealRecord(view);
}

export function baseOfRecord(record: Uint8Array): LogBase | undefined {
  const view = openRecord(record, BASE_BYTES);
  if (view === undefined) return undefined;
  return { index: getSafe(view, 0), term: getSafe(view, 8) };
}

function sealRecord(view: DataView): Uint8Array {
  const bytes = new Uint8Array(view.buffer);
  const size = bytes.length - 4;
  view.setUint32(size, crc32(bytes.subarray(0, size)));
  return bytes;
}

function openRecord(record: Uint8Array, size: number): DataView | undefined {
  if (record.length !== size + 4) return undefined;
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  return view.getUint32(size) === crc32(record.subarray(0, size)) ? view : undefined;
}

function putSafe(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "Index or term is not a safe integer");
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

function getSafe(view: DataView, at: number): number {
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}
