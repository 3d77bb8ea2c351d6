import { type MemberId, memberId } from "../core/types/mod.ts";
import type { Entry, HardState } from "../core/raft/mod.ts";
import { assert } from "../stdx/mod.ts";
import { type FileMac, TAG_BYTES, isTag, tagged } from "./file-mac.ts";

/** The rows of raft.db and their tags: SQLite itself would notice neither a flipped bit nor a forger. */

export interface EntryRow {
  readonly idx: number;
  readonly term: number;
  readonly kind: number;
  readonly data: Uint8Array;
  /** The commit index as it was when the row was saved. */
  readonly commit_idx: number;
  readonly tag: Uint8Array;
}

/** In the order in which they are bound. */
export const ENTRY_COLUMNS = "idx, term, kind, data, commit_idx, tag";

/** Where the log begins: the last index it has forgotten, and its term. */
export interface LogBase {
  readonly index: number;
  readonly term: number;
}

const kinds: readonly Entry["kind"][] = ["normal", "conf-change"];

/** And the tag of the entry at it, which that of the next one follows. */
export interface ChainBase extends LogBase {
  readonly tag: Uint8Array;
}

/** What the first entry of a log, or after a snapshot, follows. */
export const NO_TAG: Uint8Array = new Uint8Array(TAG_BYTES);

/** The purpose, the tag before, and the columns of an entry but for its data. */
const COLUMNS_AT = 1 + TAG_BYTES;
const ENTRY_HEAD_BYTES = COLUMNS_AT + 25;
const HARD_STATE_BYTES = 24;
const PLACE_BYTES = 16;
const BASE_BYTES = PLACE_BYTES + TAG_BYTES;

const entryHead = new DataView(new ArrayBuffer(ENTRY_HEAD_BYTES));
const entryHeadBytes = new Uint8Array(entryHead.buffer);
entryHeadBytes.set(tagged.entry);

/** Makes and reads rows with their tags. What it cannot read it answers with undefined. */
export class LogRows {
  readonly #mac: FileMac;

  constructor(mac: FileMac) {
    this.#mac = mac;
  }

  get keyId(): string {
    return this.#mac.keyId;
  }

  /** Says which key the file's tags are made with: its name, and a tag. */
  key(): Uint8Array {
    const name = Buffer.from(this.#mac.keyId, "utf8");
    return Buffer.concat([name, this.#recordTag("key", name)]);
  }

  keyIdOf(record: Uint8Array): string {
    const name = Buffer.from(record.subarray(0, -TAG_BYTES)).toString("latin1");
    return /^[\w:.-]{1,255}$/.test(name) ? name : "a key without a name";
  }

  isKey(record: Uint8Array): boolean {
    return isTag(this.key(), record);
  }

  /**
   * The row of an entry that is saved while `commit` is the commit index, after the row with the tag
   * `before`: so an entry that was cut off is not one of the log again because it stands at its place.
   */
  entryRow({ index, term, kind, data }: Entry, commit: number, before: Uint8Array): EntryRow {
    const row = { idx: index, term, kind: kinds.indexOf(kind), data, commit_idx: commit };
    return { ...row, tag: this.#entryTag(row, before) };
  }

  /** The entry of a row, or undefined if the row is damaged or does not follow `before`. */
  entryOf(row: EntryRow, before: Uint8Array): Entry | undefined {
    const { idx, term, data } = row;
    const kind = Number.isInteger(row.kind) ? kinds[row.kind] : undefined;
    if (kind === undefined || ![idx, term, row.commit_idx].every(isIndex)) return undefined;
    if (!(data instanceof Uint8Array)) return undefined;
    if (!isTag(this.#entryTag(row, before), row.tag)) return undefined;
    return { index: idx, term, kind, data };
  }

  /** Term, vote and commit, each 64 bits. */
  hardState({ term, vote, commit }: HardState): Uint8Array {
    const view = new DataView(new ArrayBuffer(HARD_STATE_BYTES));
    putSafe(view, 0, term);
    view.setBigUint64(8, BigInt.asUintN(64, vote));
    putSafe(view, 16, commit);
    return this.#record("hard-state", view);
  }

  hardStateOf(record: Uint8Array): HardState | undefined {
    const view = this.#open("hard-state", record, HARD_STATE_BYTES);
    if (view === undefined) return undefined;
    const vote: MemberId = memberId(view.getBigUint64(8));
    return { term: getSafe(view, 0), vote, commit: getSafe(view, 16) };
  }

  base({ index, term, tag }: ChainBase): Uint8Array {
    const view = new DataView(new ArrayBuffer(BASE_BYTES));
    putSafe(view, 0, index);
    putSafe(view, 8, term);
    new Uint8Array(view.buffer).set(tag, PLACE_BYTES);
    return this.#record("base", view);
  }

  baseOf(record: Uint8Array): ChainBase | undefined {
    const view = this.#open("base", record, BASE_BYTES);
    if (view === undefined) return undefined;
    const tag = Uint8Array.from(record.subarray(PLACE_BYTES, BASE_BYTES));
    return { index: getSafe(view, 0), term: getSafe(view, 8), tag };
  }

  /** The snapshot that is about to take the place of the log. */
  install({ index, term }: LogBase): Uint8Array {
    const view = new DataView(new ArrayBuffer(PLACE_BYTES));
    putSafe(view, 0, index);
    putSafe(view, 8, term);
    return this.#record("install", view);
  }

  installOf(record: Uint8Array): LogBase | undefined {
    const view = this.#open("install", record, PLACE_BYTES);
    return view === undefined ? undefined : { index: getSafe(view, 0), term: getSafe(view, 8) };
  }

  /** Over all other columns, so that a row in the wrong place is noticed as well. */
  #entryTag(row: Omit<EntryRow, "tag">, before: Uint8Array): Uint8Array {
    entryHeadBytes.set(before, 1);
    putSafe(entryHead, COLUMNS_AT, row.idx);
    putSafe(entryHead, COLUMNS_AT + 8, row.term);
    putSafe(entryHead, COLUMNS_AT + 16, row.commit_idx);
    entryHead.setUint8(COLUMNS_AT + 24, row.kind);
    return this.#mac.tag(entryHeadBytes, row.data);
  }

  #record(name: string, view: DataView): Uint8Array {
    const content = new Uint8Array(view.buffer);
    return Buffer.concat([content, this.#recordTag(name, content)]);
  }

  #open(name: string, record: Uint8Array, size: number): DataView | undefined {
    if (record.length !== size + TAG_BYTES) return undefined;
    const content = record.subarray(0, size);
    if (!isTag(this.#recordTag(name, content), record.subarray(size))) return undefined;
    return new DataView(record.buffer, record.byteOffset, size);
  }

  #recordTag(name: string, content: Uint8Array): Uint8Array {
    return this.#mac.tag(tagged.record, Buffer.from(`${name}\0`, "utf8"), content);
  }
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function putSafe(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "Index or term is not a safe integer");
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

function getSafe(view: DataView, at: number): number {
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}
