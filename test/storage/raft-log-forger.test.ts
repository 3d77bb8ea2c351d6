import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { describe, test, type TestContext } from "node:test";
import SqliteDatabase from "better-sqlite3";
import { memberId } from "../../src/core/types/mod.ts";
import { openRaftLog } from "../../src/storage/raft-log.ts";
import type { FileMac } from "../../src/storage/mod.ts";
import {
  type Opened,
  VOTE,
  all,
  damage,
  entriesFrom,
  entryAt,
  opener,
  plainEntries,
  recordingLogger,
  refusal,
} from "./raft-log-stand.ts";
import { TEST_MAC, macOf } from "./test-mac.ts";

describe("who writes the file and has no root key", () => {
  function saved(t: TestContext): Opened {
    const opened = opener(t);
    const log = opened.open();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 8 }, entries: entriesFrom(1, 9) });
    log.compact(2);
    log.close();
    return opened;
  }

  /** The whole log, made anew by somebody who knows how, but for the key. */
  test("cannot make a log of another's key pass for one of ours", (t) => {
    const { open, path } = saved(t);
    const forger = (mac: FileMac): void => {
      rmSync(path);
      const log = openRaftLog({ mac, path, log: recordingLogger([]) });
      log.save({ hardState: { term: 1, vote: VOTE, commit: 8 }, entries: entriesFrom(1, 9, 1) });
      log.close();
    };
    forger(macOf("forger", TEST_MAC.keyId));
    const error = refusal(open);
    assert.equal(error.code, "corrupt");
    assert.match(error.message, /changed by something that does not have the cluster's root key/);
    forger(macOf("forger", "key-file:other"));
    const other = refusal(open);
    assert.equal(other.code, "sealed");
    assert.match(
      other.message,
      /is key-file:test, but .* under key-file:other: .* --root-key-file/,
    );
  });

  /** A vote in term 5 and one in term 6, and 18 entries between them. */
  function voted(t: TestContext): Opened & { readonly oldHardState: Buffer } {
    const opened = opener(t);
    const log = opened.open();
    log.save({ hardState: { term: 4, vote: VOTE, commit: 0 }, entries: entriesFrom(1, 3, 4) });
    log.close();
    const database = new SqliteDatabase(opened.path);
    const oldHardState = database
      .prepare("SELECT record FROM records WHERE name = 'hard-state'")
      .pluck()
      .get() as Buffer;
    database.close();
    const again = opened.open();
    for (let index = 3; index <= 20; index++) {
      const hardState = { term: 5, vote: memberId(7n), commit: index - 1 };
      again.save({ hardState, entries: [entryAt(index, 5)] });
    }
    again.save({ hardState: { term: 6, vote: memberId(9n), commit: 20 }, entries: [] });
    again.close();
    return { ...opened, oldHardState };
  }

  test("cannot make it forget its votes: a hard state that is gone, or of an older term", (t) => {
    const { open, path, oldHardState } = voted(t);
    damage(
      path,
      `UPDATE records SET record = x'${oldHardState.toString("hex")}' WHERE name = 'hard-state'`,
    );
    assert.match(refusal(open).message, /an entry of term 5, but its hard state is of term 4/);
    damage(path, "DELETE FROM records WHERE name = 'hard-state'");
    assert.equal(refusal(open).code, "corrupt");
    damage(path, "DELETE FROM entries WHERE idx > 10");
    assert.equal(refusal(open).code, "corrupt");
    damage(path, "UPDATE entries SET data = x'00' WHERE idx = 5");
    assert.equal(refusal(open).code, "corrupt");
  });

  test("cannot put an entry that was cut off in the place of the one that was committed", (t) => {
    const { open, path } = opener(t);
    const log = open();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: entriesFrom(1, 3, 1) });
    log.close();
    const database = new SqliteDatabase(path);
    database.exec("CREATE TEMP TABLE kept AS SELECT * FROM entries WHERE idx = 2");
    const kept = database.prepare("SELECT * FROM kept").raw().get();
    database.close();
    const next = open();
    next.save({ hardState: { term: 2, vote: VOTE, commit: 1 }, entries: entriesFrom(2, 4, 2) });
    next.save({ hardState: { term: 2, vote: VOTE, commit: 3 }, entries: [entryAt(4, 2)] });
    next.close();
    assert.deepEqual(all(open()).length, 4);
    const changed = new SqliteDatabase(path, { timeout: 0 });
    try {
      assert.throws(() => changed.exec("BEGIN IMMEDIATE"), /locked/);
    } finally {
      changed.close();
    }
    const { path: copy, open: openCopy } = opener(t);
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(path, copy);
    copyFileSync(`${path}-wal`, `${copy}-wal`);
    const forged = new SqliteDatabase(copy);
    forged.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)").run(kept);
    forged.close();
    assert.match(refusal(openCopy).message, /entry 3 of ".*" is damaged/);
  });

  test("a folder that was begun under a wrong key takes the right one, until it holds more", (t) => {
    const { path, open } = opener(t);
    const wrong = macOf("wrong", "key-file:wrong");
    openRaftLog({ mac: wrong, path, log: recordingLogger([]) }).close();
    const log = open();
    log.save({ hardState: { term: 1, vote: VOTE, commit: 0 }, entries: [] });
    log.close();
    const error = refusal(() => openRaftLog({ mac: wrong, path, log: recordingLogger([]) }));
    assert.equal(error.code, "sealed");
    open();
  });

  test("the tags go on over a compaction, a conflict and a snapshot", (t) => {
    const { open } = opener(t);
    let log = open();
    const again = (): void => {
      const before = all(log);
      const { hardState, snapshot } = log;
      log.close();
      log = open();
      assert.deepEqual([all(log), log.hardState, log.snapshot], [before, hardState, snapshot]);
    };
    log.save({ entries: entriesFrom(1, 30, 1) });
    log.compact(10);
    log.save({ entries: entriesFrom(30, 35, 1) });
    again();
    log.save({ entries: entriesFrom(11, 15, 2) });
    again();
    assert.deepEqual(plainEntries(log.entries(13, 15, Infinity)), entriesFrom(13, 15, 2));
    log.compact(14);
    again();
    log.save({ entries: entriesFrom(15, 40, 3) });
    again();
    log.reset({ index: 60, term: 3 });
    again();
    log.save({ entries: entriesFrom(61, 70, 4) });
    log.compact(69);
    log.save({ entries: entriesFrom(70, 72, 4) });
    again();
    assert.deepEqual(plainEntries(log.entries(70, 72, Infinity)), entriesFrom(70, 72, 4));
  });

  const changes = {
    "a kind that is a word": "UPDATE entries SET kind = 'length' WHERE idx = 5",
    "an entry of another place": `UPDATE entries SET (data, tag) =
      (SELECT data, tag FROM entries WHERE idx = 7) WHERE idx = 5`,
    "the base moved": `UPDATE records SET record = x'${"00".repeat(48)}' WHERE name = 'base'`,
    "the base as hard state": `UPDATE records SET record =
      (SELECT record FROM records WHERE name = 'base') WHERE name = 'hard-state'`,
    "no key record": "DELETE FROM records WHERE name = 'key'",
    "a cut key record": "UPDATE records SET record = x'00' WHERE name = 'key'",
    "a trigger": `CREATE TRIGGER more AFTER INSERT ON entries BEGIN
      DELETE FROM entries WHERE idx = 5; END`,
    "a view in a table's place": `ALTER TABLE records RENAME TO kept;
      CREATE VIEW records AS SELECT * FROM kept`,
    "one more table": "CREATE TABLE theirs (x)",
  };
  for (const [name, sql] of Object.entries(changes)) {
    test(`is noticed: ${name}`, (t) => {
      const { open, path } = saved(t);
      damage(path, sql);
      assert.ok(["corrupt", "sealed"].includes(refusal(open).code));
    });
  }
});
