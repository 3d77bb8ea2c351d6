import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { CofferError } from "../../src/errors.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { type RaftLog, openRaftLog } from "../../src/storage/raft-log.ts";
import {
  type LogLine,
  entriesFrom,
  makeFolder,
  plainEntries,
  recordingLogger,
} from "./raft-log-stand.ts";
import { TEST_MAC } from "./test-mac.ts";

const WAL_HEADER_BYTES = 32;
const WAL_FRAME_BYTES = 24 + 4096;

const writerPath = join(
  dirname(fileURLToPath(import.meta.url)),
  import.meta.url.endsWith(".ts") ? "raft-log-writer.ts" : "raft-log-writer.js",
);

interface Writer {
  readonly child: ChildProcess;
  /** The last index that the writer was told is durable. */
  acknowledged(): number;
  /** Resolves when this many lines have been read. */
  lines(count: number): Promise<void>;
  kill(): Promise<void>;
}

function startWriter(path: string, saves: number = Infinity): Writer {
  const child = spawn(process.execPath, [writerPath, path, String(saves)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  let wake: () => void = () => undefined;
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (chunk: string) => {
    text += chunk;
    wake();
  });
  const whole = (): string[] => text.split("\n").slice(0, -1);
  return {
    child,
    acknowledged: () => Number(whole().at(-1) ?? 0),
    lines: (count) =>
      new Promise((resolve, reject) => {
        wake = () => {
          if (whole().length >= count) resolve();
        };
        child.once("exit", (code) => reject(new Error(`The writer ended with ${code}`)));
        wake();
      }),
    kill: async () => {
      child.kill("SIGKILL");
      await once(child, "close");
    },
  };
}

function openAt(path: string, lines: LogLine[] = []): RaftLog {
  return openRaftLog({ mac: TEST_MAC, path, log: recordingLogger(lines) });
}

/** Every entry that is kept is what its index says it must be. */
function checkEntries(log: RaftLog): void {
  const { firstIndex, lastIndex } = log;
  if (lastIndex < firstIndex) return;
  const kept = plainEntries(log.entries(firstIndex, lastIndex + 1, Infinity));
  assert.deepEqual(kept, entriesFrom(firstIndex, lastIndex + 1));
}

/** The files of a log that a killed process left: a database and a write-ahead log of many saves. */
async function crashedLog(folder: string, saves: number): Promise<string> {
  const path = join(folder, "raft.db");
  const writer = startWriter(path, saves);
  await writer.lines(saves + 1);
  await writer.kill();
  assert.ok(statSync(`${path}-wal`).size > WAL_HEADER_BYTES + WAL_FRAME_BYTES);
  return path;
}

/** A copy of the files, to damage. */
function copyOf(path: string, name: string): string {
  const folder = join(dirname(path), name);
  mkdirSync(folder);
  const copy = join(folder, "raft.db");
  copyFileSync(path, copy);
  copyFileSync(`${path}-wal`, `${copy}-wal`);
  return copy;
}

/** Where each transaction of the write-ahead log ends. */
function commitEnds(wal: Buffer): number[] {
  const ends: number[] = [];
  for (let at = WAL_HEADER_BYTES; at + WAL_FRAME_BYTES <= wal.length; at += WAL_FRAME_BYTES) {
    if (wal.readUInt32BE(at + 4) !== 0) ends.push(at + WAL_FRAME_BYTES);
  }
  return ends;
}

describe("kill -9", () => {
  test("at full speed, 20 times: no acknowledged save is lost, none is half there", async (t) => {
    const path = join(makeFolder(t), "raft.db");
    const prng = createPrng(20);
    let acknowledged = 0;
    for (let round = 0; round < 20; round++) {
      const writer = startWriter(path);
      t.after(() => writer.child.kill("SIGKILL"));
      await writer.lines(2 + prng.below(60));
      await writer.kill();
      const log = openAt(path);
      assert.ok(writer.acknowledged() > acknowledged);
      acknowledged = writer.acknowledged();
      assert.ok(log.lastIndex >= acknowledged, `${log.lastIndex} < ${acknowledged}`);
      checkEntries(log);
      log.close();
    }
  });

  test("leaves no lock behind, while a living owner is named", async (t) => {
    const path = join(makeFolder(t), "raft.db");
    const writer = startWriter(path, 3);
    t.after(() => writer.child.kill("SIGKILL"));
    await writer.lines(4);
    const { pid } = writer.child;
    assert.throws(
      () => openAt(path),
      (error: unknown) =>
        error instanceof CofferError &&
        error.code === "storage-failed" &&
        error.message.includes(`in use by process ${pid},`),
    );
    await writer.kill();
    const log = openAt(path);
    assert.equal(log.lastIndex, writer.acknowledged());
    log.close();
  });
});

describe("a torn end", () => {
  async function crashed(t: TestContext): Promise<{ path: string; wal: Buffer; ends: number[] }> {
    const path = await crashedLog(makeFolder(t), 25);
    const wal = readFileSync(`${path}-wal`);
    return { path, wal, ends: commitEnds(wal) };
  }

  test("cut at any byte opens with all saves that were whole, and says what was dropped", async (t) => {
    const { path, wal, ends } = await crashed(t);
    const prng = createPrng(40);
    const indexOf: number[] = [];
    for (const end of ends) {
      const copy = copyOf(path, `whole-${end}`);
      truncateSync(`${copy}-wal`, end);
      const lines: LogLine[] = [];
      const log = openAt(copy, lines);
      indexOf.push(log.lastIndex);
      assert.deepEqual(lines, []);
      log.close();
    }
    for (let round = 0; round < 30; round++) {
      const cut = 1 + prng.below(wal.length - 1);
      const copy = copyOf(path, `cut-${round}`);
      truncateSync(`${copy}-wal`, cut);
      const lines: LogLine[] = [];
      const log = openAt(copy, lines);
      const whole = ends.filter((end) => end <= cut);
      assert.equal(log.lastIndex, indexOf[whole.length - 1] ?? 0);
      checkEntries(log);
      // A header with nothing behind it is whole.
      const kept = whole.at(-1) ?? (cut < WAL_HEADER_BYTES ? 0 : WAL_HEADER_BYTES);
      const dropped = cut - kept;
      assert.deepEqual(
        lines.map(({ level, fields }) => [level, fields["droppedBytes"]]),
        dropped === 0 ? [] : [["warn", dropped]],
      );
      log.save({
        hardState: { ...log.hardState, term: Math.max(log.hardState.term, 1) },
        entries: entriesFrom(log.lastIndex + 1, log.lastIndex + 3),
      });
      log.close();
      const again = openAt(copy, lines);
      checkEntries(again);
      again.close();
      assert.equal(lines.length, dropped === 0 ? 0 : 1);
    }
  });

  test("of garbage opens with every save, and says so", async (t) => {
    const { path } = await crashed(t);
    const whole = openAt(copyOf(path, "whole"));
    for (const size of [1, 100, WAL_FRAME_BYTES, 3 * WAL_FRAME_BYTES + 5]) {
      const copy = copyOf(path, `garbage-${size}`);
      appendFileSync(`${copy}-wal`, Buffer.alloc(size, 0xa5));
      const lines: LogLine[] = [];
      const log = openAt(copy, lines);
      assert.equal(log.lastIndex, whole.lastIndex);
      checkEntries(log);
      log.close();
      assert.equal(lines[0]?.fields["droppedBytes"], size);
    }
    whole.close();
  });

  test("in the last save loses that one alone", async (t) => {
    const { path, wal, ends } = await crashed(t);
    const [before, last] = ends.slice(-2);
    assert.ok(before !== undefined && last !== undefined);
    const copy = copyOf(path, "torn");
    const torn = Buffer.from(wal);
    torn.fill(0xff, before + 100, before + 200);
    writeFileSync(`${copy}-wal`, torn);
    const lines: LogLine[] = [];
    const log = openAt(copy, lines);
    checkEntries(log);
    log.close();
    assert.deepEqual(lines[0]?.fields["droppedBytes"], last - before);
    assert.deepEqual(lines[0]?.fields["droppedSaves"], 1);
  });

  test("is told from damage in the middle, which keeps the log shut for good", async (t) => {
    const { path, wal, ends } = await crashed(t);
    const middle = ends[Math.floor(ends.length / 2)];
    assert.ok(middle !== undefined);
    for (const at of [middle + 100, 4]) {
      const copy = copyOf(path, `middle-${at}`);
      const damaged = Buffer.from(wal);
      damaged.fill(0xff, at, at + 16);
      writeFileSync(`${copy}-wal`, damaged);
      for (let attempt = 0; attempt < 2; attempt++) {
        assert.throws(
          () => openAt(copy),
          (error: unknown) =>
            error instanceof CofferError &&
            error.code === "corrupt" &&
            /cannot be read, some of them acknowledged; restore/.test(error.message),
        );
      }
    }
  });
});
