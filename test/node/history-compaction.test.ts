import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import SqliteDatabase from "better-sqlite3";
import { CLUSTER_SCOPE, type Command } from "../../src/core/types/mod.ts";
import { HistoryCompaction } from "../../src/node/history-compaction.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import {
  type Machine,
  OTHER,
  TENANT,
  entryOf,
  machineOn,
  proposal,
  put,
  statePath,
} from "../fsm/fixtures.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

/** A slice is 6 steps of 16 rows; each row is in three trees, and frees pages at times. */
const SLICE_STEPS = 6;
const STEP_ROWS = 16;
const SLICE_PAGES_MAX = 500;
const PAGE_BYTES = 4096;

interface Stand {
  readonly path: string;
  readonly store: StateStore;
  readonly machine: Machine;
  /** Steps of the slice under way. */
  steps: number;
  /** Runs slices to the end; the clock stands still, so that only work ends them. */
  run(afterSlice: () => void | Promise<void>): Promise<void>;
}

function standOf(context: TestContext, walBytes: number): Stand {
  const path = statePath(context);
  const store = openStateStore({ mac: TEST_MAC, path, walBytes, commit: "later" });
  context.after(() => store.close());
  const machine = machineOn(store);
  const stand: Stand = {
    path,
    store,
    machine,
    steps: 0,
    async run(afterSlice) {
      let next: (() => void) | undefined;
      const compaction = new HistoryCompaction({
        machine: {
          compactStep(rows) {
            assert.equal(rows, STEP_ROWS);
            stand.steps += 1;
            return machine.fsm.compactStep(rows);
          },
        },
        clock: { now: () => 0, monotonic: () => 0 } as never,
        scheduler: {
          soon: () => assert.fail(),
          every: () => assert.fail(),
          after(_, work) {
            next = work;
            return () => undefined;
          },
        },
        mayRun: () => true,
        isBusy: () => false,
        isFilling: () => false,
        commit: () => machine.fsm.flush(),
        onFailure: (error) => assert.fail(error as Error),
      });
      next = () => compaction.tick();
      while (next !== undefined) {
        const slice = next;
        next = undefined;
        stand.steps = 0;
        slice();
        await afterSlice();
      }
    },
  };
  return stand;
}

/** `count` changes of the tenant's keys, each key many times, in no order of the keys. */
function fill(
  { machine: { fsm } }: Stand,
  tenant: typeof TENANT,
  count: number,
  keys: number,
): void {
  for (let at = 0; at < count; at += 100) {
    const puts = Array.from({ length: 100 }, (_, i): Command => {
      return { kind: "put", request: put(`key-${((at + i) * 7919) % keys}`, "v".repeat(1024)) };
    });
    fsm.apply([
      entryOf(
        fsm.appliedIndex + 1,
        puts.map((command) => proposal(command, { tenant })),
      ),
    ]);
    fsm.flush();
  }
}

function removeMost(stand: Stand): void {
  const { machine } = stand;
  const create: Command = { kind: "tenant-create", id: OTHER, name: "other", records: [] };
  machine.run(create, { tenant: CLUSTER_SCOPE });
  fill(stand, TENANT, 12_000, 1000);
  fill(stand, OTHER, 4000, 4000);
  machine.run({ kind: "compact", revision: machine.fsm.reader.tenant(TENANT)?.revision ?? 0 });
  machine.run({ kind: "tenant-delete", id: OTHER }, { tenant: CLUSTER_SCOPE });
  machine.fsm.flush();
}

test("a slice takes few steps, and its commit writes few pages", async (context) => {
  const stand = standOf(context, 1024 ** 3);
  removeMost(stand);
  const { total } = stand.store.size();
  const watcher = new SqliteDatabase(stand.path);
  context.after(() => watcher.close());
  watcher.prepare("SELECT count(*) FROM meta").get();
  const frames = (): number => {
    const [size] = watcher.pragma("wal_checkpoint(NOOP)") as { log: number }[];
    return size?.log ?? 0;
  };
  let before = frames();
  let slices = 0;
  let most = 0;
  await stand.run(() => {
    assert.ok(stand.steps <= SLICE_STEPS, `${stand.steps} steps`);
    const after = frames();
    most = Math.max(most, after - before);
    before = after;
    slices += 1;
  });
  assert.ok(slices > 16_000 / (SLICE_STEPS * STEP_ROWS), `${slices} slices`);
  assert.ok(most > 0 && most <= SLICE_PAGES_MAX, `${most} pages in one commit`);
  const { total: left, inUse } = stand.store.size();
  assert.ok(left < total / 2 && inUse < total / 4, JSON.stringify({ total, left, inUse }));
});

test("what removal writes counts for copying the log back", async (context) => {
  const walBytes = 1024 ** 2;
  const stand = standOf(context, walBytes);
  removeMost(stand);
  const idle = async (): Promise<void> => {
    while (stand.store.isCopying()) await turn();
  };
  await idle();
  const filled = statSync(`${stand.path}-wal`).size;
  let copies = 0;
  await stand.run(async () => {
    if (stand.store.isCopying()) copies += 1;
    await idle();
  });
  assert.ok(copies > 5, `${copies} copies`);
  const grown = statSync(`${stand.path}-wal`).size;
  const bound = Math.max(filled, walBytes + 3 * SLICE_PAGES_MAX * PAGE_BYTES);
  assert.ok(grown <= bound, `${grown} of ${bound} bytes`);
});

/** The pauses after slices whose steps take `stepMs` each and whose commit takes `commitMs`. */
function pausesOf(
  stepMs: number,
  commitMs: number,
  isFilling = false,
): { pauses: number[]; steps: number[] } {
  let now = 0;
  let left = 12;
  let next: (() => void) | undefined;
  const pauses: number[] = [];
  const steps: number[] = [0];
  const compaction = new HistoryCompaction({
    machine: {
      compactStep() {
        if (left === 0) return false;
        left -= 1;
        now += stepMs;
        steps.push((steps.pop() ?? 0) + 1);
        return true;
      },
    },
    clock: { now: () => now },
    scheduler: {
      soon: () => assert.fail(),
      every: () => assert.fail(),
      after(ms, work) {
        pauses.push(ms);
        steps.push(0);
        next = work;
        return () => undefined;
      },
    },
    mayRun: () => true,
    isBusy: () => false,
    isFilling: () => isFilling,
    commit: () => (now += commitMs),
    onFailure: (error) => assert.fail(error as Error),
  });
  next = () => compaction.tick();
  while (next !== undefined) {
    const slice = next;
    next = undefined;
    slice();
  }
  return { pauses, steps: steps.slice(0, -1) };
}

test("a slice ends after a millisecond, and is followed by a pause nine times as long", () => {
  assert.deepEqual(pausesOf(0, 0), { pauses: [5, 5], steps: [6, 6] });
  assert.deepEqual(pausesOf(0.25, 0.5), { pauses: [13.5, 13.5, 13.5], steps: [4, 4, 4] });
  const slow = pausesOf(20, 10);
  assert.deepEqual(
    slow.steps,
    Array.from({ length: 12 }, () => 1),
  );
  assert.deepEqual(new Set(slow.pauses), new Set([250]));
});

test("while room comes to an end a pause is as long as the slice", () => {
  assert.deepEqual(pausesOf(0.25, 0.5, true).pauses, [5, 5, 5]);
  assert.deepEqual(new Set(pausesOf(20, 10, true).pauses), new Set([30]));
});
