import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import SqliteDatabase from "better-sqlite3";
import { CofferError } from "../../src/errors.ts";
import { NO_MEMBER } from "../../src/core/raft/mod.ts";
import { memberId } from "../../src/core/types/mod.ts";
import { openRaftLog, openStateStore } from "../../src/storage/mod.ts";
import type { InstallStep } from "../../src/storage/snapshot-install.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { TENANT, range } from "../fsm/fixtures.ts";
import {
  type FileMember,
  fillLog,
  newFolder,
  openFiles,
  openMember,
  transfer,
} from "./snapshot-stand.ts";
import { TEST_MAC } from "./test-mac.ts";

const STEPS: readonly InstallStep[] = ["stage", "reset", "clear", "swap", "open"];

const crasherPath = join(
  dirname(fileURLToPath(import.meta.url)),
  import.meta.url.endsWith(".ts") ? "snapshot-crasher.ts" : "snapshot-crasher.js",
);

function refusal(work: () => unknown): CofferError {
  try {
    work();
  } catch (failure) {
    assert.ok(failure instanceof CofferError, String(failure));
    return failure;
  }
  return assert.fail("nothing was refused");
}

function installed(member: FileMember, leader: FileMember): void {
  assert.equal(member.digest(), leader.digest());
  assert.deepEqual(member.store.confState(), leader.store.confState());
}

describe("an install", () => {
  test("replaces state and log under whoever holds them", async (context) => {
    const leader = openMember(context);
    const follower = openMember(context);
    leader.fill(100, 2000);
    follower.fill(20);
    fillLog(follower, { lastIndex: 150, commit: 20, term: 3 });
    const { meta } = await transfer(leader, follower);
    const { store, machine } = follower;
    const open = machine.fsm.reader.snapshot();
    const key = range("k", "l", { limit: 1 });
    assert.equal(open.range(TENANT, key).ok, true);
    follower.snapshots.install(meta);
    machine.fsm.reload();
    installed(follower, leader);
    assert.equal(refusal(() => open.range(TENANT, key)).code, "state-replaced");
    open.close();
    open.close();
    const again = machine.fsm.reader.snapshot();
    assert.equal(again.range(TENANT, key).ok, true);
    again.close();
    assert.equal(follower.store, store);
    const { raftLog } = follower;
    assert.deepEqual(raftLog.snapshot, { index: meta.index, term: meta.term });
    assert.deepEqual([raftLog.firstIndex, raftLog.lastIndex], [meta.index + 1, meta.index]);
    assert.deepEqual(raftLog.hardState, { term: 3, vote: NO_MEMBER, commit: meta.index });
    assert.deepEqual(readdirSync(follower.dataDir).toSorted().slice(0, 1), ["raft.db"]);
    assert.equal(existsSync(join(follower.dataDir, "state.db.next")), false);
    follower.fill(10);
    leader.fill(10);
    installed(follower, leader);
    store.checkpoint();
  });

  test("raises the hard state to its base, and a vote of an older term goes", async (context) => {
    const leader = openMember(context);
    const follower = openMember(context);
    leader.fill(5);
    const { meta } = await transfer(leader, follower);
    const { raftLog } = follower;
    raftLog.save({ hardState: { term: 0, vote: memberId(5n), commit: 0 }, entries: [] });
    follower.snapshots.install(meta);
    const wanted = { term: meta.term, vote: NO_MEMBER, commit: meta.index };
    assert.deepEqual(raftLog.hardState, wanted);
    const { dataDir } = follower;
    follower.close();
    const again = openFiles({ dataDir });
    context.after(() => again.close());
    assert.deepEqual(again.raftLog.hardState, wanted);
    assert.equal(again.completed, false);
    installed(again, leader);
  });

  test("ends a copy under way of the state that it replaces", async (context) => {
    const leader = openMember(context);
    const follower = openMember(context);
    leader.fill(100);
    follower.fill(3000, 2000);
    const { meta } = await transfer(leader, follower);
    const copy = follower.snapshots.create(1);
    const ended = assert.rejects(copy, { code: "state-replaced" });
    while (!follower.files().includes("outgoing-1.db")) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    follower.snapshots.install(meta);
    follower.machine.fsm.reload();
    await ended;
    installed(follower, leader);
    assert.deepEqual(follower.files(), []);
    assert.equal((await follower.snapshots.create(1)).meta.index, meta.index);
  });

  test("never goes back behind what is committed", async (context) => {
    const leader = openMember(context);
    const follower = openMember(context);
    leader.fill(5);
    const { meta } = await transfer(leader, follower);
    fillLog(follower, { lastIndex: 9, commit: 8, term: 1 });
    assert.throws(() => follower.snapshots.install(meta), /must not undo what is committed/);
    assert.throws(() => follower.raftLog.reset(meta), /must not undo what is committed/);
    assert.equal(follower.raftLog.lastIndex, 9);
  });

  test("of what has not been received stops the member", (context) => {
    const follower = openMember(context);
    const meta = { index: 9, term: 1, confState: {} as never };
    assert.throws(() => follower.snapshots.install(meta), /has not been received/);
  });
});

describe("a kill within an install", () => {
  for (const step of [...STEPS, "end"]) {
    test(`before "${step}" leaves the old or the new, whole`, async (context) => {
      const leaderDir = newFolder(context);
      const followerDir = newFolder(context);
      const made = openFiles({ dataDir: leaderDir });
      made.fill(100, 500);
      made.close();
      const before = openFiles({ dataDir: followerDir });
      fillLog(before, { lastIndex: 60, commit: 51, term: 1 });
      before.close();
      await runCrasher([leaderDir, followerDir, step]);
      const leader = openFiles({ dataDir: leaderDir });
      context.after(() => leader.close());
      const follower = openFiles({ dataDir: followerDir });
      context.after(() => follower.close());
      const { appliedIndex } = leader.machine.fsm;
      if (step === "stage") {
        assert.equal(follower.completed, false);
        assert.equal(follower.machine.fsm.appliedIndex, 51);
        assert.deepEqual([follower.raftLog.firstIndex, follower.raftLog.lastIndex], [1, 60]);
        assert.deepEqual(follower.files(), []);
        return;
      }
      assert.equal(follower.completed, step !== "end" && step !== "open");
      installed(follower, leader);
      assert.deepEqual(follower.raftLog.snapshot, { index: appliedIndex, term: 1 });
      assert.equal(follower.raftLog.lastIndex, appliedIndex);
      assert.equal(follower.raftLog.hardState.commit, appliedIndex);
      assert.equal(existsSync(join(followerDir, "state.db.next")), false);
    });
  }

  async function runCrasher(parameters: readonly string[]): Promise<void> {
    const child = spawn(process.execPath, [crasherPath, ...parameters], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [, signal] = (await once(child, "exit")) as [number | null, string | null];
    assert.equal(signal, "SIGKILL");
  }
});

describe("a start", () => {
  async function withNext(context: TestContext): Promise<{ leader: FileMember; dataDir: string }> {
    const leader = openMember(context);
    leader.fill(30);
    await leader.snapshots.create(1);
    const dataDir = newFolder(context);
    const follower = openFiles({ dataDir });
    follower.fill(5);
    follower.raftLog.noteInstall({ index: leader.machine.fsm.appliedIndex, term: 1 });
    follower.close();
    const copy = join(leader.dataDir, "snapshots", "outgoing-1.db");
    copyFileSync(copy, join(dataDir, "state.db.next"));
    return { leader, dataDir };
  }

  test("finishes an install, whichever of its files are left", async (context) => {
    const { leader, dataDir } = await withNext(context);
    for (const name of ["state.db", "state.db-wal", "state.db-shm"]) {
      writeFileSync(join(dataDir, name), "garbage of the old state");
    }
    const member = openFiles({ dataDir });
    context.after(() => member.close());
    assert.equal(member.completed, true);
    installed(member, leader);
  });

  test("refuses a state that is older than the log", async (context) => {
    const { dataDir } = await withNext(context);
    const raftLog = openRaftLog({
      mac: TEST_MAC,
      path: join(dataDir, "raft.db"),
      log: silentLogger,
    });
    fillLog({ raftLog }, { lastIndex: 40, commit: 35, term: 1 });
    raftLog.close();
    const failure = refusal(() => openFiles({ dataDir }));
    assert.equal(failure.code, "corrupt");
    assert.match(failure.message, /entry 31, and raft.db is committed up to 35/);
    assert.ok(existsSync(join(dataDir, "state.db.next")));
  });

  test("refuses a state whose install was never begun, and leaves all as it is", async (context) => {
    const leader = openMember(context);
    leader.fill(30);
    await leader.snapshots.create(1);
    const dataDir = newFolder(context);
    openFiles({ dataDir }).close();
    copyFileSync(
      join(leader.dataDir, "snapshots", "outgoing-1.db"),
      join(dataDir, "state.db.next"),
    );
    const failure = refusal(() => openFiles({ dataDir }));
    assert.equal(failure.code, "corrupt");
    assert.match(failure.message, /raft.db knows of no such install: move it away/);
    rmSync(join(dataDir, "state.db.next"));
    openFiles({ dataDir }).close();
  });

  test("refuses one that was changed before it takes its place, and its term from it", async (context) => {
    const { dataDir } = await withNext(context);
    const next = new SqliteDatabase(join(dataDir, "state.db.next"));
    next.exec("UPDATE meta SET value = 9007199254740990 WHERE name = 'applied_term'");
    next.close();
    assert.equal(refusal(() => openFiles({ dataDir })).code, "corrupt");
    rmSync(join(dataDir, "state.db.next"));
    const member = openFiles({ dataDir });
    context.after(() => member.close());
    assert.ok(member.raftLog.hardState.term <= 1);
    assert.equal(member.raftLog.snapshot.index, 0);
  });

  test("refuses a damaged one, and leaves the rest as it is", async (context) => {
    const { dataDir } = await withNext(context);
    writeFileSync(join(dataDir, "state.db.next"), "not a database, ".repeat(500));
    const state = readFileSync(join(dataDir, "state.db"));
    assert.equal(refusal(() => openFiles({ dataDir })).code, "corrupt");
    assert.deepEqual(readFileSync(join(dataDir, "state.db")), state);
  });

  for (const version of [1, 99]) {
    test(`refuses one of schema version ${version}, and leaves all as it is`, async (context) => {
      const { dataDir } = await withNext(context);
      const next = new SqliteDatabase(join(dataDir, "state.db.next"));
      if (version === 1) next.exec("DROP TABLE conf_state");
      next.pragma(`user_version = ${version}`);
      next.close();
      const state = readFileSync(join(dataDir, "state.db"));
      const failure = refusal(() => openFiles({ dataDir }));
      assert.equal(failure.code, "storage-failed");
      assert.match(failure.message, /state.db.next" has schema version/);
      assert.match(
        failure.message,
        new RegExp(`schema version ${version}, .*; run the version that`),
      );
      assert.deepEqual(readFileSync(join(dataDir, "state.db")), state);
      assert.ok(existsSync(join(dataDir, "state.db.next")));
    });
  }

  test("that forgets about it is stopped", async (context) => {
    const { dataDir } = await withNext(context);
    assert.throws(
      () => openStateStore({ mac: TEST_MAC, path: join(dataDir, "state.db") }),
      /not completed/,
    );
  });
});
