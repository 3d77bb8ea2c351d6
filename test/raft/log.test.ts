import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Inflights } from "../../src/core/raft/inflights.ts";
import { Log } from "../../src/core/raft/log.ts";
import type { Entry } from "../../src/core/raft/mod.ts";
import { createMemoryLog } from "./memory-log.ts";

function entry(index: number, term: number, bytes = 1): Entry {
  return { index, term, kind: "normal", data: new Uint8Array(bytes) };
}

/** A log whose saved part holds entries of these terms, from index 1. */
function logOf(...terms: number[]): { log: Log; disk: ReturnType<typeof createMemoryLog> } {
  const disk = createMemoryLog();
  const entries = terms.map((term, i) => entry(i + 1, term));
  disk.save({ hardState: undefined, snapshot: undefined, entries });
  return { log: new Log(disk, { commit: 0, applied: 0, cacheBytesMax: 100 }), disk };
}

test("a conflict replaces what follows, and saved falls back to before it", () => {
  const { log } = logOf(1, 1, 1, 2);
  assert.equal(log.merge(1, [entry(2, 1), entry(3, 3)]), 3);
  assert.deepEqual([log.lastIndex, log.lastTerm, log.saved], [3, 3, 2]);
  assert.deepEqual(
    log.takeUnhanded().map(({ index, term }) => [index, term]),
    [[3, 3]],
  );
});

test("entries that are there already change nothing, also those after them", () => {
  const { log } = logOf(1, 1, 2);
  assert.equal(log.merge(0, [entry(1, 1), entry(2, 1)]), 2);
  assert.equal(log.lastIndex, 3);
  assert.deepEqual(log.takeUnhanded(), []);
});

test("a committed entry is never replaced", () => {
  const { log } = logOf(1, 1);
  log.commitTo(2);
  assert.throws(() => log.merge(1, [entry(2, 2)]), /committed entry would be replaced/);
});

test("a commit past the end of the log shows a lost log", () => {
  const { log } = logOf(1, 1);
  assert.throws(() => log.commitTo(3), /log lost or damaged/);
});

test("an acknowledgement of a replaced entry does not count", () => {
  const { log } = logOf(1);
  log.push(entry(2, 1));
  log.takeUnhanded();
  log.merge(1, [entry(2, 2)]);
  assert.equal(log.savedTo({ term: 2, index: 2, logTerm: 1 }), false);
  assert.equal(log.saved, 1);
  assert.equal(log.savedTo({ term: 2, index: 2, logTerm: 2 }), true);
  assert.equal(log.saved, 2);
});

test("the hint is the last index whose term is not higher, as a scan would find it", () => {
  const terms = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 20 });
  fc.assert(
    fc.property(terms, fc.nat(25), fc.nat(6), (list, index, term) => {
      const sorted = [...list].sort((a, b) => a - b);
      const { log } = logOf(...sorted);
      let at = Math.min(index, sorted.length);
      while (at > 0 && (sorted[at - 1] as number) > term) at--;
      assert.deepEqual(log.lastWithTermAtMost(index, term), {
        index: at,
        term: sorted[at - 1] ?? 0,
      });
    }),
  );
});

test("entries come from memory or from the reader alike, bounded by bytes", () => {
  const { log, disk } = logOf(1, 1, 1, 1);
  log.push(entry(5, 2, 3));
  log.push(entry(6, 2, 3));
  const indexes = (lo: number, hi: number, bytes: number): number[] | undefined =>
    log.entries(lo, hi, bytes)?.map(({ index }) => index);
  assert.deepEqual(indexes(1, 7, 2), [1, 2]);
  // What the reader gives ends where memory begins; the rest is asked for next.
  assert.deepEqual(indexes(3, 7, 100), [3, 4]);
  assert.deepEqual(indexes(5, 7, 6), [5, 6]);
  assert.deepEqual(indexes(5, 7, 5), [5]);
  disk.compact(2);
  assert.equal(indexes(2, 7, 100), undefined);
  assert.equal(log.term(1), undefined);
  assert.equal(log.term(2), 1);
});

test("memory keeps what is not saved or not applied, and little else", () => {
  const { log, disk } = logOf();
  for (let i = 1; i <= 1000; i++) log.push(entry(i, 1, 10));
  const entries = log.takeUnhanded();
  log.trim(true);
  assert.equal(log.entries(1, 2, 100)?.length, 1);
  disk.save({ hardState: undefined, snapshot: undefined, entries });
  log.savedTo({ term: 1, index: 1000, logTerm: 1 });
  log.commitTo(1000);
  log.takeApplicable(1e9);
  log.appliedTo(1000);
  log.trim(true);
  // 100 bytes are kept: ten entries. Older ones come from the reader.
  assert.equal(log.entries(990, 1001, 1e9)?.length, 1);
  assert.equal(log.entries(991, 1001, 1e9)?.length, 10);
});

test("messages in flight: a ring against a list", () => {
  const step = fc.record({ isAdd: fc.boolean(), n: fc.integer({ min: 1, max: 5 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new Inflights({ countMax: 9, bytesMax: 20 });
      let list: { index: number; bytes: number }[] = [];
      let index = 0;
      for (const { isAdd, n } of steps) {
        const bytes = list.reduce((sum, one) => sum + one.bytes, 0);
        const isFull = list.length === 9 || bytes >= 20;
        assert.deepEqual([ring.count, ring.bytes, ring.isFull], [list.length, bytes, isFull]);
        if (isAdd && !isFull) {
          index += n;
          ring.add(index, n);
          list.push({ index, bytes: n });
        } else if (!isAdd && list.length > 0) {
          const upTo = (list[0]?.index ?? 0) + n;
          ring.freeTo(upTo);
          list = list.filter((one) => one.index > upTo);
        }
      }
    }),
  );
});
