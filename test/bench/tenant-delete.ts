import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { type Fsm, createFsm } from "../../src/core/fsm/mod.ts";
import { CLUSTER_SCOPE, type Command, type TenantId } from "../../src/core/types/mod.ts";
import { HistoryCompaction } from "../../src/node/history-compaction.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import { OTHER, TENANT, entryOf, proposal, put, sha256 } from "../fsm/fixtures.ts";

/**
 * What the deletion of a large tenant costs the others: how long its slices hold the event loop, and
 * how long a put of another tenant takes meanwhile, from when it was due until it is synced to a log and
 * applied, against the same before the deletion.
 */

const VALUE = "v".repeat(200);
const BATCH = 500;
/** Milliseconds from one put of the other tenant to the next, and after a change until it is committed. */
const PUT_EVERY_MS = 5;
const COMMIT_AFTER_MS = 25;
const PUTS_BEFORE = 2000;

interface Member {
  readonly store: StateStore;
  readonly fsm: Fsm;
  readonly log: number;
}

function apply({ fsm }: Member, commands: readonly Command[], tenant: TenantId): void {
  const proposals = commands.map((command) => proposal(command, { tenant }));
  fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
}

/** Puts at a steady pace until `isDone`; milliseconds of each. */
async function putSteadily(member: Member, isDone: (count: number) => boolean): Promise<number[]> {
  const took: number[] = [];
  let lastCommit = performance.now();
  while (!isDone(took.length)) {
    const due = performance.now() + PUT_EVERY_MS;
    await sleep(PUT_EVERY_MS);
    const request = put(`other-${took.length % 1000}`, VALUE);
    writeSync(member.log, VALUE);
    fdatasyncSync(member.log);
    apply(member, [{ kind: "put", request }], TENANT);
    const now = performance.now();
    took.push(now - due);
    if (now - lastCommit < COMMIT_AFTER_MS) continue;
    member.fsm.flush();
    lastCommit = now;
  }
  return took;
}

/** Runs the slices of a member until nothing is left; milliseconds of wall and of CPU time of each. */
function removeAll({ fsm, store }: Member): Promise<{ wall: number[]; cpu: number[] }> {
  const wall: number[] = [];
  const cpu: number[] = [];
  const measure = (work: () => void): void => {
    const before = process.cpuUsage();
    const begin = performance.now();
    work();
    const lasted = performance.now() - begin;
    const used = process.cpuUsage(before);
    wall.push(lasted);
    cpu.push(Math.min(lasted, (used.user + used.system) / 1000));
  };
  return new Promise((resolve, reject) => {
    const compaction = new HistoryCompaction({
      machine: {
        compactStep(rows) {
          const isLeft = fsm.compactStep(rows);
          if (!isLeft) resolve({ wall, cpu });
          return isLeft;
        },
      },
      clock: { now: () => performance.now() },
      scheduler: {
        soon: (work) => void setImmediate(work),
        after(ms, work) {
          const timer = setTimeout(() => measure(work), ms);
          return () => clearTimeout(timer);
        },
        every: () => () => undefined,
      },
      mayRun: () => true,
      isBusy: () => store.isCopying(),
      commit: () => fsm.flush(),
      onFailure: reject,
    });
    compaction.tick();
  });
}

function shares(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(2);
  return `p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms`;
}

/** Prints the figures for a tenant of `keys` keys. */
export async function benchTenantDelete(keys = 1_000_000): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-tenant-delete-"));
  const store = openStateStore({ path: join(folder, "state.db"), commit: "later" });
  const log = openSync(join(folder, "log"), "a");
  const member: Member = { store, fsm: createFsm(store, sha256), log };
  const say = (text: string): void => void process.stdout.write(`  ${text}\n`);
  try {
    for (const [id, name] of [[TENANT, "stays"] as const, [OTHER, "goes"] as const]) {
      apply(member, [{ kind: "tenant-create", id, name, records: [] }], CLUSTER_SCOPE);
    }
    for (let at = 0; at < keys; at += BATCH) {
      const puts = Array.from({ length: BATCH }, (_, i): Command => {
        return { kind: "put", request: put(`key-${at + i}`, VALUE) };
      });
      apply(member, puts, OTHER);
      member.fsm.flush();
      await turn();
    }
    say(`put beside ${keys} keys: ${shares(await putSteadily(member, (n) => n >= PUTS_BEFORE))}`);
    const begin = performance.now();
    apply(member, [{ kind: "tenant-delete", id: OTHER }], CLUSTER_SCOPE);
    say(`the deletion itself: ${(performance.now() - begin).toFixed(2)} ms`);
    let isRemoved = false;
    const removal = removeAll(member).finally(() => (isRemoved = true));
    const during = await putSteadily(member, () => isRemoved);
    const { wall, cpu } = await removal;
    const seconds = ((performance.now() - begin) / 1000).toFixed(0);
    say(`put while they are removed, ${seconds} s: ${shares(during)}`);
    say(`${wall.length} slices: cpu ${shares(cpu)}; wall ${shares(wall)}`);
  } finally {
    store.close();
    closeSync(log);
    rmSync(folder, { recursive: true });
  }
}
