import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { type Fsm, createFsm } from "../../src/core/fsm/mod.ts";
import { CLUSTER_SCOPE, type Command, type TenantId } from "../../src/core/types/mod.ts";
import { HistoryCompaction } from "../../src/node/history-compaction.ts";
import { type StateStore, openStateStore } from "../../src/storage/mod.ts";
import { OTHER, TENANT, entryOf, proposal, put, range, sha256 } from "../fsm/fixtures.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

/**
 * What the deletion of a large tenant costs the others: how long its slices hold the event loop, and
 * how long puts and gets of another tenant take meanwhile, from when they were due until they are
 * answered; a put is synced to a log and applied. The removal is held up every other second, and what
 * is asked in these seconds is what it is held against: so both meet the same machine.
 */

const VALUE = "v".repeat(200);
const BATCH = 500;
/** Milliseconds from one request of the other tenant to the next, after a change until it is committed. */
const REQUEST_EVERY_MS = 5;
const COMMIT_AFTER_MS = 25;
const TURN_MS = 1000;
const OTHER_KEYS = 1000;

interface Member {
  readonly store: StateStore;
  readonly fsm: Fsm;
  readonly log: number;
}

function apply({ fsm }: Member, commands: readonly Command[], tenant: TenantId): void {
  const proposals = commands.map((command) => proposal(command, { tenant }));
  fsm.apply([entryOf(fsm.appliedIndex + 1, proposals)]);
}

/** Milliseconds of requests by what they met. */
class Latencies {
  readonly calm: number[] = [];
  readonly removing: number[] = [];

  print(name: string, say: (text: string) => void): void {
    const ratio = (at(this.removing, 0.99) / at(this.calm, 0.99)).toFixed(2);
    say(`${name}: ${shares(this.calm)}; while keys are removed ${shares(this.removing)}`);
    say(`${name}: p99 while keys are removed is ${ratio} times that of the turns between`);
  }
}

interface Requests {
  readonly puts: Latencies;
  readonly gets: Latencies;
}

/** A put and a get in turn at a steady pace until `isDone`. */
async function ask(
  member: Member,
  isRemoving: () => boolean,
  isDone: () => boolean,
): Promise<Requests> {
  const requests: Requests = { puts: new Latencies(), gets: new Latencies() };
  let lastCommit = performance.now();
  for (let n = 0; !isDone(); n++) {
    const due = performance.now() + REQUEST_EVERY_MS;
    await sleep(REQUEST_EVERY_MS);
    const isPut = n % 2 === 0;
    const name = `other-${n % OTHER_KEYS}`;
    if (isPut) {
      writeSync(member.log, VALUE);
      fdatasyncSync(member.log);
      apply(member, [{ kind: "put", request: put(name, VALUE) }], TENANT);
    } else {
      member.fsm.reader.range(TENANT, range(name));
    }
    const now = performance.now();
    const { calm, removing } = isPut ? requests.puts : requests.gets;
    (isRemoving() ? removing : calm).push(now - due);
    if (now - lastCommit < COMMIT_AFTER_MS) continue;
    member.fsm.flush();
    lastCommit = now;
  }
  return requests;
}

interface Slices {
  readonly wall: number[];
  readonly cpu: number[];
}

/** Runs the slices of a member until nothing is left, while `mayRun`. */
function removeAll({ fsm, store }: Member, mayRun: () => boolean): Promise<Slices> {
  const slices: Slices = { wall: [], cpu: [] };
  const measure = (work: () => void): void => {
    const before = process.cpuUsage();
    const begin = performance.now();
    work();
    const lasted = performance.now() - begin;
    const used = process.cpuUsage(before);
    slices.wall.push(lasted);
    slices.cpu.push(Math.min(lasted, (used.user + used.system) / 1000));
  };
  return new Promise((resolve, reject) => {
    const compaction = new HistoryCompaction({
      machine: {
        compactStep(rows) {
          const isLeft = fsm.compactStep(rows);
          if (!isLeft) {
            clearInterval(ticks);
            resolve(slices);
          }
          return isLeft;
        },
      },
      // As a member's.
      clock: { now: () => Math.floor(performance.now()) },
      scheduler: {
        soon: (work) => void setImmediate(work),
        after(ms, work) {
          const timer = setTimeout(() => measure(work), ms);
          return () => clearTimeout(timer);
        },
        every: () => () => undefined,
      },
      mayRun,
      isBusy: () => store.isCopying(),
      isFilling: () => false,
      commit: () => fsm.flush(),
      onFailure: reject,
    });
    const ticks = setInterval(() => compaction.tick(), 100);
  });
}

function at(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
}

function shares(values: readonly number[]): string {
  const [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1].map((share) => at(values, share).toFixed(2));
  return `p50 ${p50} p99 ${p99} p99.9 ${p999} max ${max} ms`;
}

/** Prints the figures for a tenant of `keys` keys. */
export async function benchTenantDelete(keys: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-tenant-delete-"));
  const store = openStateStore({ mac: TEST_MAC, path: join(folder, "state.db"), commit: "later" });
  const log = openSync(join(folder, "log"), "a");
  const member: Member = { store, fsm: createFsm(store, sha256), log };
  const say = (text: string): void => void process.stdout.write(`  ${text}\n`);
  process.stdout.write(`a tenant of ${keys} keys deleted, every other second\n`);
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
    for (let n = 0; n < OTHER_KEYS; n++) {
      apply(member, [{ kind: "put", request: put(`other-${n}`, VALUE) }], TENANT);
    }
    const begin = performance.now();
    apply(member, [{ kind: "tenant-delete", id: OTHER }], CLUSTER_SCOPE);
    say(`the deletion itself: ${(performance.now() - begin).toFixed(2)} ms`);
    const isRemoving = (): boolean => Math.floor((performance.now() - begin) / TURN_MS) % 2 === 1;
    let isRemoved = false;
    const removal = removeAll(member, isRemoving).finally(() => (isRemoved = true));
    const { puts, gets } = await ask(member, isRemoving, () => isRemoved);
    const { wall, cpu } = await removal;
    const seconds = ((performance.now() - begin) / 2000).toFixed(0);
    say(`${keys} keys removed in ${seconds} s of such turns`);
    puts.print("puts", say);
    gets.print("gets", say);
    say(`${wall.length} slices: cpu ${shares(cpu)}; wall ${shares(wall)}`);
  } finally {
    store.close();
    closeSync(log);
    rmSync(folder, { recursive: true });
  }
}
