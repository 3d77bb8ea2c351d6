import assert from "node:assert/strict";
import type { Client, mvcc } from "../../src/client/mod.ts";

/** One key after a write: its new value, or gone. */
export interface KeyChange {
  readonly key: string;
  readonly value: string | undefined;
}

/** A write as it was sent. `changes` are in order of key, and take effect at one revision or never. */
export type Write = readonly KeyChange[];

/**
 * What clients were promised, held against what a restarted member says. A write without an answer may
 * have happened once or not at all; a write with one has happened, at the revision it was told.
 */
export class WriteLedger {
  /** By revision. */
  readonly #acknowledged = new Map<number, Write>();
  /** By their text: no two writes are alike, as values are never used twice. */
  readonly #pending = new Map<string, Write>();
  readonly #seen = new Map<number, string>();
  readonly #answered = new Set<number>();
  readonly #leases = new Set<bigint>();
  #highest = 0;
  #verified = 1;

  get acknowledged(): ReadonlyMap<number, Write> {
    return this.#acknowledged;
  }

  /** Revisions that a client was told of; not those whose answer the kill took. */
  get answeredRevisions(): ReadonlySet<number> {
    return this.#answered;
  }

  sent(write: Write): void {
    this.#pending.set(textOf(write), write);
  }

  answered(write: Write, header: { readonly revision: bigint } | undefined): void {
    const at = this.noted(header);
    assert.ok(!this.#acknowledged.has(at), `Revision ${at} was given to two writes`);
    this.#pending.delete(textOf(write));
    this.#acknowledged.set(at, write);
    this.#answered.add(at);
  }

  leaseGranted(id: bigint): void {
    this.#leases.add(id);
  }

  noted(header: { readonly revision: bigint } | undefined): number {
    const at = Number(header?.revision ?? 0n);
    this.#highest = Math.max(this.#highest, at);
    return at;
  }

  /** Checks the member that came back against all that was promised; answers its revision. */
  async check(client: Client): Promise<number> {
    const everything = { key: ZERO, rangeEnd: ZERO };
    const { header, kvs } = await client.range(everything);
    const revision = Number(header?.revision ?? 0n);
    assert.ok(
      revision >= this.#highest,
      `Revision ${this.#highest} was answered, and now it is ${revision}`,
    );
    this.#highest = revision;
    await this.#checkHistory(client, { from: this.#verified + 1, to: revision });
    this.#verified = revision;
    this.#checkKeys(kvs);
    const { leases } = await client.leaseLeases();
    const alive = new Set(leases.map(({ ID }) => ID));
    for (const id of this.#leases) assert.ok(alive.has(id), `Lease ${id} was granted, and is gone`);
    return revision;
  }

  /** Reads the whole history once more. */
  async checkAll(client: Client): Promise<void> {
    const before = new Map(this.#seen);
    this.#seen.clear();
    await this.#checkHistory(client, { from: 2, to: this.#verified });
    assert.deepEqual([...this.#seen], [...before], "The history is another than it was");
  }

  /** Every revision must be one that was acknowledged, or all of one write that was under way. */
  async #checkHistory(client: Client, bounds: { from: number; to: number }): Promise<void> {
    if (bounds.from > bounds.to) return;
    const found = await readHistory(client, bounds);
    for (let at = bounds.from; at <= bounds.to; at++) {
      const text = textOf(found.get(at) ?? []);
      const promised = this.#acknowledged.get(at);
      if (promised !== undefined) {
        assert.equal(text, textOf(promised), `Revision ${at} is not what was acknowledged`);
      } else {
        const sent = this.#pending.get(text);
        assert.ok(sent !== undefined, `Revision ${at} holds ${text}, which nobody has under way`);
        this.#pending.delete(text);
        this.#acknowledged.set(at, sent);
      }
      this.#seen.set(at, text);
    }
  }

  #checkKeys(kvs: readonly mvcc.KeyValue[]): void {
    const expected = new Map<string, string>();
    for (const at of [...this.#acknowledged.keys()].sort((a, b) => a - b)) {
      for (const { key, value } of this.#acknowledged.get(at) ?? []) {
        if (value === undefined) expected.delete(key);
        else expected.set(key, `${value} at ${at}`);
      }
    }
    const actual = kvs.map(({ key, value, modRevision }): [string, string] => [
      Buffer.from(key).toString(),
      `${Buffer.from(value).toString()} at ${modRevision}`,
    ]);
    assert.deepEqual(
      actual,
      [...expected].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
}

const ZERO = new Uint8Array(1);

function textOf(write: Write): string {
  return JSON.stringify(write.map(({ key, value }) => [key, value ?? null]));
}

/** The changes by revision, as a watch from the past tells them. */
async function readHistory(
  client: Client,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<ReadonlyMap<number, Write>> {
  const found = new Map<number, KeyChange[]>();
  await using watch = client.watch({ timeoutMs: 30_000 });
  watch.create({ key: ZERO, rangeEnd: ZERO, startRevision: BigInt(from) });
  let last = from - 1;
  for await (const { events, canceled } of watch.responses()) {
    assert.equal(canceled, false, "The watch from the past was cancelled");
    for (const { kv, type } of events) {
      assert.ok(kv !== undefined);
      const at = Number(kv.modRevision);
      assert.ok(at >= last, `Revision ${at} came after ${last}`);
      last = at;
      const changes = found.get(at) ?? [];
      if (changes.length === 0) found.set(at, changes);
      const value = type === 1 ? undefined : Buffer.from(kv.value).toString();
      changes.push({ key: Buffer.from(kv.key).toString(), value });
    }
    // Events of one revision come together, so the last one seen is whole.
    if (last >= to) break;
  }
  return found;
}
