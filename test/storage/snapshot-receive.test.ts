import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import SqliteDatabase from "better-sqlite3";
import type { ErrorCode } from "../../src/errors.ts";
import type { SnapshotMeta } from "../../src/core/raft/mod.ts";
import { STATE_SCHEMA_VERSION } from "../../src/storage/state-schema.ts";
import {
  type FileMember,
  carry,
  newFolder,
  openFiles,
  openMember,
  refusal,
  transfer,
} from "./snapshot-stand.ts";

interface Sample {
  readonly meta: SnapshotMeta;
  readonly bytes: Buffer;
}

/** A snapshot as a file's bytes, which `change` may have altered before its hash is taken. */
async function sample(
  context: TestContext,
  change: (path: string) => unknown = () => undefined,
): Promise<Sample> {
  const leader = openMember(context);
  leader.fill(300, 500);
  const { meta } = await leader.snapshots.create(leader.machine.fsm.appliedIndex);
  const path = join(leader.dataDir, "snapshots", "outgoing-1.db");
  change(path);
  return { meta, bytes: readFileSync(path) };
}

function offerOf({ meta, bytes }: Sample): Parameters<FileMember["snapshots"]["receive"]>[0] {
  const sha256 = createHash("sha256").update(bytes).digest();
  return { meta, bytes: bytes.length, sha256 };
}

/** Receives the bytes of `given` and checks them. */
async function receive(member: FileMember, given: Sample): Promise<void> {
  const into = await member.snapshots.receive(offerOf(given));
  await into.write(into.have, given.bytes.subarray(into.have));
  await into.finish();
}

describe("what is received", () => {
  const bad: readonly (readonly [string, ErrorCode, RegExp, (path: string) => unknown])[] = [
    [
      "of a newer schema",
      "storage-failed",
      new RegExp(`schema version 99, this coffer knows up to ${STATE_SCHEMA_VERSION}: run a newer`),
      (path) => withDatabase(path, (database) => database.pragma("user_version = 99")),
    ],
    [
      "of an older schema",
      "storage-failed",
      new RegExp(`schema version 1, this coffer takes ${STATE_SCHEMA_VERSION} alone: run this`),
      // Without what version 2 added: a table that is read, and one that is not.
      (path) =>
        withDatabase(path, (database) => {
          database.exec("DROP TABLE conf_state; DROP TABLE removed_member");
          database.pragma("user_version = 1");
        }),
    ],
    [
      "in which somebody without the root key wrote",
      "corrupt",
      /changed by something that does not have the cluster's root key/,
      (path) =>
        withDatabase(path, (database) =>
          database.exec("INSERT INTO record VALUES (1, 'policy', 'stranger', x'61')"),
        ),
    ],
    [
      "of another program",
      "corrupt",
      /a database of another program/,
      (path) => withDatabase(path, (database) => database.pragma("application_id = 7")),
    ],
    [
      "of another index",
      "corrupt",
      /is of entry 5 of term 1, and was offered as one of entry 301/,
      (path) =>
        withDatabase(path, (database) =>
          database.exec("UPDATE meta SET value = 5 WHERE name = 'applied_index'"),
        ),
    ],
    [
      "without a configuration",
      "corrupt",
      /was offered as one of/,
      (path) => withDatabase(path, (database) => database.exec("DELETE FROM conf_state")),
    ],
    [
      "that is no database",
      "corrupt",
      /not a database/,
      (path) => writeFileSync(path, "not a database, ".repeat(500)),
    ],
    [
      "with a damaged page",
      "corrupt",
      /damaged/,
      (path) => {
        const pages = withDatabase(path, (database) =>
          database
            .prepare<unknown[], number>(
              "SELECT pageno FROM dbstat WHERE name = 'sealed' AND pagetype = 'leaf'",
            )
            .pluck()
            .all(),
        );
        const bytes = readFileSync(path);
        const at = ((pages[3] ?? 0) - 1) * 4096;
        bytes.fill(0xa5, at, at + 64);
        writeFileSync(path, bytes);
      },
    ],
  ];
  for (const [what, code, text, change] of bad) {
    test(`${what} is refused and removed`, async (context) => {
      const given = await sample(context, change);
      const follower = openMember(context);
      const before = follower.digest();
      const failure = await refusal(receive(follower, given), code);
      assert.match(failure.message, text);
      assert.deepEqual(follower.files(), []);
      assert.equal(follower.digest(), before);
    });
  }

  test("with other bytes than were offered is refused and removed", async (context) => {
    const given = await sample(context);
    const follower = openMember(context);
    const into = await follower.snapshots.receive(offerOf(given));
    const bytes = Buffer.from(given.bytes);
    bytes.writeUInt8(bytes.readUInt8(9000) ^ 1, 9000);
    await into.write(0, bytes);
    const failure = await refusal(into.finish(), "corrupt");
    assert.match(failure.message, /not the one that was offered/);
    assert.deepEqual(follower.files(), []);
    await refusal(into.write(0, bytes), "canceled");
    assert.throws(() => follower.snapshots.install(given.meta), /has not been received/);
  });

  test("is for its owner alone", async (context) => {
    const given = await sample(context);
    const follower = openMember(context);
    const into = await follower.snapshots.receive(offerOf(given));
    await into.write(0, given.bytes.subarray(0, 5000));
    for (const name of ["incoming.db", "incoming.json"]) {
      assert.equal(statSync(join(follower.dataDir, "snapshots", name)).mode & 0o777, 0o600);
    }
  });

  test("that would not fit is refused before its first byte", async (context) => {
    const given = await sample(context);
    const follower = openMember(context, {
      volume: () => Promise.resolve({ free: 2 ** 26, total: 2 ** 40 }),
    });
    const failure = await refusal(follower.snapshots.receive(offerOf(given)), "no-space");
    assert.match(failure.message, /a snapshot needs 65 MiB/);
  });
});

describe("going on", () => {
  test("from what a suspended one left, also after a restart", async (context) => {
    const given = await sample(context);
    const offer = offerOf(given);
    const dataDir = newFolder(context);
    let member = openFiles({ dataDir });
    const first = await member.snapshots.receive(offer);
    assert.equal(first.have, 0);
    await first.write(0, given.bytes.subarray(0, 10_000));
    await first.suspend();
    const second = await member.snapshots.receive(offer);
    assert.equal(second.have, 10_000);
    await second.write(10_000, given.bytes.subarray(10_000, 20_000));
    member.close();
    member = openFiles({ dataDir });
    context.after(() => member.close());
    const third = await member.snapshots.receive(offer);
    assert.equal(third.have, 20_000);
    await third.write(20_000, given.bytes.subarray(20_000));
    await third.finish();
    assert.deepEqual(member.files(), ["received-1-301.db"]);
  });

  test("with other bytes begins anew", async (context) => {
    const given = await sample(context);
    const other = await sample(context);
    const follower = openMember(context);
    const first = await follower.snapshots.receive(offerOf(given));
    await first.write(0, given.bytes.subarray(0, 10_000));
    const changed = { ...other, meta: { ...other.meta, index: 999 } };
    const second = await follower.snapshots.receive(offerOf(changed));
    assert.equal(second.have, 0);
    await refusal(first.write(10_000, given.bytes.subarray(10_000)), "canceled");
    await second.write(0, other.bytes.subarray(0, 100));
    assert.equal(statSync(join(follower.dataDir, "snapshots", "incoming.db")).size, 100);
  });

  test("is not possible after a discard, nor when it was left alone for long", async (context) => {
    const given = await sample(context);
    const follower = openMember(context);
    const first = await follower.snapshots.receive(offerOf(given));
    await first.write(0, given.bytes.subarray(0, 10_000));
    await first.discard();
    assert.deepEqual(follower.files(), []);
    const second = await follower.snapshots.receive(offerOf(given));
    assert.equal(second.have, 0);
    await second.write(0, given.bytes.subarray(0, 10_000));
    follower.scheduler.pass(11 * 60_000);
    assert.equal(follower.files().length, 2, "it is open");
    await second.suspend();
    follower.scheduler.pass(9 * 60_000);
    assert.equal(follower.files().length, 2);
    follower.scheduler.pass(2 * 60_000);
    assert.deepEqual(follower.files(), []);
  });

  test("a finished one that nobody installs is removed", async (context) => {
    const leader = openMember(context);
    const follower = openMember(context);
    leader.fill(3);
    await transfer(leader, follower);
    leader.fill(3);
    await transfer(leader, follower);
    leader.fill(3);
    await transfer(leader, follower);
    assert.deepEqual(follower.files(), ["received-1-10.db", "received-1-7.db"]);
    follower.scheduler.pass(11 * 60_000);
    assert.deepEqual(follower.files(), []);
  });

  test("a close ends the check under way", async (context) => {
    const leader = openMember(context);
    leader.fill(3);
    const out = await leader.snapshots.create(1);
    const follower = openMember(context);
    const into = await follower.snapshots.receive(out);
    await carry(out, into);
    const ended = assert.rejects(into.finish(), { code: "canceled" });
    follower.snapshots.close();
    await ended;
    // The next life goes on with what is there.
    assert.deepEqual(follower.files(), ["incoming.db", "incoming.json"]);
    await refusal(follower.snapshots.receive(out), "stopped");
  });

  test("a suspension ends the check under way, and the next one has all", async (context) => {
    const leader = openMember(context);
    leader.fill(3);
    const out = await leader.snapshots.create(1);
    const follower = openMember(context);
    const into = await follower.snapshots.receive(out);
    await carry(out, into);
    const ended = assert.rejects(into.finish(), { code: "canceled" });
    const again = await follower.snapshots.receive(out);
    await ended;
    assert.equal(again.have, out.bytes);
    await into.discard();
    await again.finish();
    assert.equal(follower.files().length, 1);
  });
});

function withDatabase<T>(path: string, work: (database: SqliteDatabase.Database) => T): T {
  const database = new SqliteDatabase(path);
  try {
    return work(database);
  } finally {
    database.close();
  }
}
