import {
  NO_LEASE,
  key,
  revision,
  type AppliedChange,
  type Key,
  type KeyValue,
  type TenantId,
  type WatchEvent,
  type WatchSource,
} from "../../src/core/types/mod.ts";

export const TENANT = "00000000-0000-0000-0000-000000000001" as TenantId;

/** A change of one key: a value to put, or undefined to delete. */
export type Write = readonly [name: string, value: string | undefined];

/** One tenant in memory: enough of a store to be watched. */
export class FakeStore implements WatchSource {
  readonly history: AppliedChange[] = [];
  readonly tenant: TenantId;
  compactRevision = 0;
  reads = 0;
  exists = true;
  readonly #current = new Map<Key, KeyValue>();

  constructor(tenant: TenantId = TENANT) {
    this.tenant = tenant;
  }

  get revision(): number {
    return 1 + this.history.length;
  }

  /** Applies the writes as one transaction; undefined if nothing changed. */
  write(...writes: readonly Write[]): AppliedChange | undefined {
    const at = revision(this.revision + 1);
    const events: WatchEvent[] = [];
    for (const [name, value] of writes) {
      const k = key(name);
      const before = this.#current.get(k);
      if (value === undefined && before === undefined) continue;
      const kv = value === undefined ? tombstone(k, at) : nextVersion(k, at, value, before);
      if (value === undefined) this.#current.delete(k);
      else this.#current.set(k, kv);
      const type = value === undefined ? "delete" : "put";
      events.push({ type, kv, sub: events.length, prevKv: before });
    }
    if (events.length === 0) return undefined;
    const change = { tenant: this.tenant, revision: at, events };
    this.history.push(change);
    return change;
  }

  /** Like `write`, for writes that change something. */
  put(name: string, value: string = "v"): AppliedChange {
    const change = this.write([name, value]);
    if (change === undefined) throw new Error("A put changes something");
    return change;
  }

  revisions(tenant: TenantId): ReturnType<WatchSource["revisions"]> {
    if (!this.exists || tenant !== this.tenant) return undefined;
    return { revision: revision(this.revision), compactRevision: this.compactRevision };
  }

  changes(tenant: TenantId, from: number, revisionsMax: number): readonly AppliedChange[] {
    this.reads++;
    if (tenant !== this.tenant) return [];
    if (from < this.compactRevision) throw new Error("Read below the compacted revision");
    const start = Math.max(from - 2, 0);
    return this.history.slice(start, start + revisionsMax);
  }
}

function tombstone(k: Key, at: ReturnType<typeof revision>): KeyValue {
  const value = new Uint8Array(0);
  const none = revision(0);
  return { key: k, createRevision: none, modRevision: at, version: 0, lease: NO_LEASE, value };
}

function nextVersion(
  k: Key,
  at: ReturnType<typeof revision>,
  text: string,
  before: KeyValue | undefined,
): KeyValue {
  return {
    key: k,
    createRevision: before?.createRevision ?? at,
    modRevision: at,
    version: (before?.version ?? 0) + 1,
    lease: NO_LEASE,
    value: Buffer.from(text),
  };
}
