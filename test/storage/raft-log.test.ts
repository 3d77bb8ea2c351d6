import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { describe, test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import fc from "fast-check";
import type { Entry } from "../../src/core/raft/mod.ts";
import { AssertionFailure } from "../../src/stdx/mod.ts";
import { openRaftLog } from "../../src/storage/raft-log.ts";
import {
  VOTE,
  all,
  damage,
  entriesFrom,
  entryAt,
  opener,
  recordingLogger,
  refusal,
} from "./raft-log-stand.ts";
import { TEST_MAC } from "./test-mac.ts";

describe("a log", () => {
  test("is empty at first", (t) => {
    const log = opener(t).open();
    assert.deepEqual(log.hardState, { term: 0, vote: 0n, commit: 0 });
    assert.deepEqual([log.firstIndex, log.lastIndex], [1, 0]);
    assert.deepEqual([log.term(0), log.term(1)], [0, undefined]);
    assert.deepEqual(log.snapshot, { index: 0, term: 0 });
  });

  test("keeps entries and hard state over a restart", (t) => {
    const { open, lines } = opener(t);
    const first = open();
    const hardState = { term: 3, vote: VOTE, commit: 2 };
    first.save({ entries: entriesFrom(1, 4, 2) });
    first.save({ hardState, entries: entriesFrom(4, 6, 3) });
    first.close();
    const second = open();
    assert.deepEqual(second.hardState, hardState);
    assert.deepEqual(all(second), [...entriesFrom(1, 4, 2), ...entriesFrom(4, 6, 3)]);
    assert.deepEqual(
      [3, 4, 6].map((index) => second.term(index)),
      [2, 3, undefined],
    );
    assert.deepEqual(lines, []);
  });

  test("keeps entries without data, as a new leader's first one is", (t) => {
    const { open } = opener(t);
    const first = open();
    const entries = [...entriesFrom(1, 3), { ...entryAt(3), data: new Uint8Array() }];
    first.save({ hardState: { term: 1, vote: VOTE, commit: 3 }, entries });
    first.close();
    assert.deepEqual(all(open()), entries);
  });

  test("replaces a conflicting suffix", (t) => {
    const { open } = opener(t);
    const log = open();
    log.save({ entries: entriesFrom(1, 10, 1) });
    log.save({ entries: entriesFrom(4, 6, 2) });
    const expected = [...entriesFrom(1, 4, 1), ...entriesFrom(4, 6, 2)];
    assert.deepEqual(all(log), expected);
    assert.deepEqual([log.term(3), log.term(4), log.term(6)], [1, 2, undefined]);
    log.close();
    assert.deepEqual(all(open()), expected);
  });

  test("gives at least one entry, and as many as fit", (t) => {
    const log = opener(t).open();
    const entries = [1, 2, 3].map((index) => ({ ...entryAt(index), data: new Uint8Array(100) }));
    log.save({ entries });
    assert.equal(log.entries(1, 4, 0).length, 1);
    assert.equal(log.entries(1, 4, 200).length, 2);
    assert.equal(log.entries(2, 4, 1000).length, 2);
    assert.deepEqual(log.entries(2, 2, 1000), []);
  });

  test("forgets compacted entries, and knows the term of the last of them", (t) => {
    const { open, path } = opener(t);
    const log = open();
    log.save({ entries: [...entriesFrom(1, 20, 1), ...entriesFrom(20, 41, 2)] });
    log.compact(19);
    log.compact(5);
    assert.deepEqual(
      [log.firstIndex, log.lastIndex, log.term(19), log.term(18)],
      [20, 40, 1, undefined],
    );
    assert.throws(() => log.entries(19, 21, 1), AssertionFailure);
    for (let index = 41; index < 45; index++) log.save({ entries: [entryAt(index, 2)] });
    log.compact(40);
    log.close();
    const again = open();
    assert.deepEqual([again.firstIndex, again.lastIndex, again.term(40)], [41, 44, 2]);
    assert.deepEqual(again.snapshot, { index: 40, term: 2 });
    again.close();
    const database = new SqliteDatabase(path, { readonly: true });
    const kept = database.prepare("SELECT min(idx) FROM entries").pluck().get();
    database.close();
    assert.equal(kept, 41);
  });

  test("compacted as it grows, its file stays small", (t) => {
    const { open, path } = opener(t);
    const log = open();
    for (let index = 1; index <= 300; index++) {
      log.save({ entries: [{ ...entryAt(index), data: new Uint8Array(20_000) }] });
      if (index % 20 === 0) log.compact(index - 10);
    }
    log.close();
    assert.ok(statSync(path).size < 2_000_000, `${statSync(path).size} bytes`);
  });

  test("compacted to its end it goes on from there", (t) => {
    const { open } = opener(t);
    const log = open();
    log.save({ entries: entriesFrom(1, 4, 1) });
    log.compact(3);
    assert.deepEqual([log.firstIndex, log.lastIndex, log.term(3)], [4, 3, 1]);
    log.save({ entries: [entryAt(4, 2)] });
    log.close();
    assert.deepEqual(all(open()), [entryAt(4, 2)]);
  });

  test("is replaced by a snapshot", (t) => {
    const { open } = opener(t);
    const log = open();
    log.save({ entries: entriesFrom(1, 4, 1) });
    log.reset({ index: 100, term: 9 });
    assert.deepEqual([log.firstIndex, log.lastIndex, log.term(100)], [101, 100, 9]);
    log.save({ entries: [entryAt(101, 9)] });
    log.close();
    assert.deepEqual(all(open()), [entryAt(101, 9)]);
  });

  test("a commit that moves alone waits for the next save, and is kept by close", (t) => {
    const { open } = opener(t);
    const log = open();
    let commits = 0;
    log.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: [entryAt(1)] });
    const counted = openRaftLog({
      mac: TEST_MAC,
      path: opener(t).path,
      log: recordingLogger([]),
      onFsync: (seconds) => {
        assert.ok(seconds >= 0 && seconds < 60);
        commits++;
      },
    });
    counted.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: [entryAt(1)] });
    counted.save({ hardState: { term: 1, vote: VOTE, commit: 1 }, entries: [] });
    assert.equal(commits, 1);
    assert.equal(counted.hardState.commit, 1);
    counted.close();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 1 }, entries: [] });
    log.close();
    assert.equal(open().hardState.commit, 1);
  });

  test("a save that fails changes nothing", (t) => {
    const { open } = opener(t);
    const log = open();
    log.save({ entries: entriesFrom(1, 4) });
    const broken = { ...entryAt(5), data: 5 as unknown as Uint8Array };
    assert.throws(() => log.save({ entries: [entryAt(4), broken] }));
    assert.equal(log.lastIndex, 3);
    log.save({ entries: [entryAt(4)] });
    log.close();
    assert.deepEqual(all(open()), entriesFrom(1, 5));
  });

  test("a gap, or a term that goes back, is a bug of the caller", (t) => {
    const log = opener(t).open();
    log.save({ entries: [entryAt(1, 2)] });
    assert.throws(() => log.save({ entries: [entryAt(3, 2)] }), AssertionFailure);
    assert.throws(() => log.save({ entries: [entryAt(2, 1)] }), AssertionFailure);
    assert.throws(() => log.save({ entries: [entryAt(2, 2), entryAt(4, 2)] }), AssertionFailure);
    log.compact(1);
    assert.throws(() => log.save({ entries: [entryAt(1, 3)] }), AssertionFailure);
  });

  test("does as an array would, whatever is done to it", (t) => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("save"),
        back: fc.nat(5),
        count: fc.integer({ min: 1, max: 6 }),
      }),
      fc.record({ kind: fc.constant("compact"), back: fc.nat(8), count: fc.constant(0) }),
      fc.record({ kind: fc.constant("reopen"), back: fc.constant(0), count: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const { open } = opener(t);
        let log = open();
        let model: Entry[] = [];
        let base = 0;
        let term = 1;
        for (const { kind, back, count } of steps) {
          const last = base + model.length;
          if (kind === "save") {
            term++;
            const first = Math.max(last + 1 - back, base + 1);
            const entries = entriesFrom(first, first + count, term);
            log.save({ hardState: { term, vote: VOTE, commit: base }, entries });
            model = [...model.slice(0, first - base - 1), ...entries];
          } else if (kind === "compact") {
            const index = Math.max(last - back, base);
            log.compact(index);
            model = model.slice(index - base);
            base = index;
          } else {
            log.close();
            log = open();
          }
          assert.equal(log.firstIndex, base + 1);
          assert.deepEqual(all(log), model);
        }
        log.close();
      }),
      { numRuns: 25 },
    );
  });
});

describe("the file", () => {
  test("is for its owner only", (t) => {
    const { open, path } = opener(t);
    const log = open();
    log.save({ entries: [entryAt(1)] });
    for (const file of [path, `${path}-wal`, `${path}.pid`]) {
      assert.equal(statSync(file).mode & 0o777, 0o600, file);
    }
    log.close();
    assert.ok(!existsSync(`${path}.pid`));
  });

  test("is opened by one at a time, and the next is told by whom", (t) => {
    const { open } = opener(t);
    const log = open();
    const error = refusal(open);
    assert.equal(error.code, "storage-failed");
    assert.match(error.message, new RegExp(`in use by process ${process.pid}\\b`));
    log.save({ entries: [entryAt(1)] });
    log.close();
    assert.equal(open().lastIndex, 1);
  });

  test("of another program, or of another version, is refused", (t) => {
    const { open, path } = opener(t);
    open().close();
    damage(path, "PRAGMA user_version = 4");
    assert.match(refusal(open).message, /schema version 4, .* knows version 3; .* a later one/);
    damage(path, "PRAGMA user_version = 1");
    assert.match(refusal(open).message, /schema version 1, .* knows version 3; .* dev --reset/);
    damage(path, "PRAGMA application_id = 1");
    assert.match(refusal(open).message, /is not a Raft log of Coffer/);
  });
});

describe("a damaged row", () => {
  const damages = {
    "flipped data": "UPDATE entries SET data = zeroblob(length(data)) WHERE idx = 5",
    "another term": "UPDATE entries SET term = 2 WHERE idx = 5",
    "another kind": "UPDATE entries SET kind = 9 WHERE idx = 5",
    "another commit index": "UPDATE entries SET commit_idx = 3 WHERE idx = 5",
    "wrong tag": "UPDATE entries SET tag = zeroblob(32) WHERE idx = 5",
    "no tag": "UPDATE entries SET tag = x'' WHERE idx = 5",
    "missing row": "DELETE FROM entries WHERE idx = 5",
    "text for bytes": "UPDATE entries SET data = 'x' WHERE idx = 5",
  };
  for (const [name, sql] of Object.entries(damages)) {
    test(`above the commit index is cut off with a line: ${name}`, (t) => {
      const { open, path, lines } = opener(t);
      const log = open();
      log.save({ hardState: { term: 1, vote: VOTE, commit: 4 }, entries: entriesFrom(1, 9) });
      log.close();
      damage(path, sql);
      const again = open();
      assert.deepEqual(all(again), entriesFrom(1, 5));
      assert.equal(lines.length, 1);
      assert.equal(lines[0]?.level, "warn");
      assert.equal(lines[0]?.fields["firstDamagedIndex"], 5);
      again.save({ entries: entriesFrom(5, 7) });
      again.close();
      assert.deepEqual(all(open()), entriesFrom(1, 7));
    });

    test(`at or below the commit index keeps the log shut: ${name}`, (t) => {
      const { open, path } = opener(t);
      const log = open();
      log.save({ hardState: { term: 1, vote: VOTE, commit: 5 }, entries: entriesFrom(1, 9) });
      log.close();
      damage(path, sql);
      for (let attempt = 0; attempt < 2; attempt++) {
        const error = refusal(open);
        assert.equal(error.code, "corrupt");
        assert.match(error.message, /entry 5 of .* committed up to 5; restore this member/);
      }
    });
  }

  test("below a commit index that only a later row tells keeps the log shut", (t) => {
    const { open, path } = opener(t);
    const log = open();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: entriesFrom(1, 8) });
    log.save({ hardState: { term: 1, vote: VOTE, commit: 6 }, entries: entriesFrom(8, 9) });
    log.close();
    damage(path, "DELETE FROM entries WHERE idx = 6");
    assert.match(refusal(open).message, /entry 6 of .* committed up to 6/);
  });

  test("does not take the commit index that a removed row told", (t) => {
    const { open } = opener(t);
    const log = open();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: entriesFrom(1, 8) });
    log.save({ hardState: { term: 1, vote: VOTE, commit: 7 }, entries: entriesFrom(8, 9) });
    log.compact(8);
    log.close();
    assert.equal(open().hardState.commit, 7);
  });

  for (const name of ["hard-state", "base"]) {
    test(`of the ${name} record keeps the log shut`, (t) => {
      const { open, path } = opener(t);
      const log = open();
      log.save({ hardState: { term: 1, vote: VOTE, commit: 5 }, entries: entriesFrom(1, 9) });
      log.compact(2);
      log.close();
      damage(path, `UPDATE records SET record = zeroblob(length(record)) WHERE name = '${name}'`);
      assert.match(refusal(open).message, new RegExp(`the ${name} record of .* is damaged`));
    });
  }
});
