import {
  type Key,
  type KeyRange,
  type KeyValue,
  NO_LEASE,
  type PutRequest,
  type Revision,
  type WatchEvent,
  isSingleKey,
  revision,
} from "../types/mod.ts";
import { assert } from "../../stdx/mod.ts";
import type { KeyBackend, TenantView } from "./backend.ts";

const NO_VALUE: Uint8Array = new Uint8Array(0);
const ZERO: Revision = revision(0);

/**
 * The changes of one transaction: all get the revision after the tenant's, in order of `sub`. The
 * current rows change at once, so that later operations see earlier ones; history is the caller's to
 * append from `events`.
 */
export class KeyWriter {
  readonly events: WatchEvent[] = [];
  /** Bytes of the keys and values of all changes. */
  appended = 0;
  /** Bytes of what the changes replaced or deleted, and of the deletes themselves. */
  garbage = 0;
  /** Keys more than before. */
  keysGained = 0;
  readonly #backend: KeyBackend;
  readonly #before: TenantView;
  readonly #next: Revision;

  constructor(backend: KeyBackend, view: TenantView) {
    this.#backend = backend;
    this.#before = view;
    this.#next = revision(view.revision + 1);
  }

  /** The tenant's revision as of now: moved once something has changed. */
  get revision(): Revision {
    return this.events.length > 0 ? this.#next : (this.#before.revision as Revision);
  }

  /** What a read inside the transaction sees. */
  get view(): TenantView {
    const { slot, compactRevision } = this.#before;
    return { slot, revision: this.revision, compactRevision };
  }

  get backend(): KeyBackend {
    return this.#backend;
  }

  /** Puts a key and returns its previous row. The request has been validated. */
  put(request: PutRequest): KeyValue | undefined {
    const { slot } = this.#before;
    const previous = this.#backend.get(slot, request.key);
    assert(
      previous !== undefined || !(request.ignoreValue || request.ignoreLease),
      "Put that keeps a value or lease was not validated",
    );
    const kv: KeyValue = {
      key: request.key,
      createRevision: previous === undefined ? this.#next : previous.createRevision,
      modRevision: this.#next,
      version: previous === undefined ? 1 : previous.version + 1,
      lease: request.ignoreLease && previous !== undefined ? previous.lease : request.lease,
      value: request.ignoreValue && previous !== undefined ? previous.value : request.value,
    };
    this.#backend.put(slot, kv, previous);
    this.#record("put", kv, previous);
    return previous;
  }

  /** Deletes the keys of a range and returns their rows. */
  deleteRange(range: KeyRange): readonly KeyValue[] {
    const { slot } = this.#before;
    if (isSingleKey(range)) {
      const row = this.#backend.get(slot, range.lo);
      if (row === undefined) return [];
      this.#delete(row);
      return [row];
    }
    const rows = this.#backend.scan(slot, range, {
      limit: 0,
      descending: false,
      withValues: true,
    });
    for (const row of rows) this.#delete(row);
    return rows;
  }

  /** Deletes one key if it is there. */
  deleteKey(key: Key): void {
    const row = this.#backend.get(this.#before.slot, key);
    if (row !== undefined) this.#delete(row);
  }

  #delete(row: KeyValue): void {
    this.#backend.remove(this.#before.slot, row.key);
    this.#record("delete", deletedKey(row.key, this.#next), row);
  }

  #record(type: "put" | "delete", kv: KeyValue, previous: KeyValue | undefined): void {
    const bytes = bytesOf(kv);
    this.appended += bytes;
    if (previous !== undefined) this.garbage += bytesOf(previous);
    if (type === "delete") {
      this.garbage += bytes;
      this.keysGained -= 1;
    } else if (previous === undefined) {
      this.keysGained += 1;
    }
    const prevKv =
      previous !== undefined && previous.modRevision === this.#next
        ? this.#beforeTxn(kv.key)
        : previous;
    this.events.push({ type, kv, sub: this.events.length, prevKv });
  }

  /** etcd's prev_kv is the row at mod_revision - 1, so a key changed twice has the same one twice. */
  #beforeTxn(key: Key): KeyValue | undefined {
    return this.events.find((event) => event.kv.key === key)?.prevKv;
  }
}

function bytesOf({ key, value }: KeyValue): number {
  return key.length + value.length;
}

/** The row of a delete event: key and modRevision only, as etcd's. */
export function deletedKey(key: Key, modRevision: Revision): KeyValue {
  return {
    key,
    createRevision: ZERO,
    modRevision,
    version: 0,
    lease: NO_LEASE,
    value: NO_VALUE,
  };
}
