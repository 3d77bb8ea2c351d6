import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { createFsm } from "../../src/core/fsm/mod.ts";
import { CLUSTER_SCOPE, type Command, leaseId } from "../../src/core/types/mod.ts";
import { HistoryCompaction } from "../../src/node/history-compaction.ts";
import { openStateStore } from "../../src/storage/mod.ts";
import { OTHER, TENANT, del, entryOf, proposal, put, sha256 } from "../fsm/fixtures.ts";
import { TEST_MAC } from "../storage/test-mac.ts";

/**
 * How long compaction, the deletion of a tenant, and vacuum hold the event loop: every slice, and of it
 * the steps and the commit that ends it. The thread that copies the
 * write-ahead log back runs beside; the CPU of a turn is the whole process's, but no more than its
 * wall time, so it is an upper bound.
 */

const VALUE_BYTES = 1024;
/** Each key is written this many times. */
const VERSIONS = 10;
const BATCH = 100;
const DELETED_KEYS = 100_000;
const LEASE_KEYS = 10_000;

/** Milliseconds of wall and of CPU time, by what they were for. */
class Turns {
  readonly #of = new Map<string, { wall: number[]; cpu: number[] }>();

  measure<Made>(name: string, work: () => Made): Made {
    const cpuBefore = process.cpuUsage();
    const begin = performance.now();
    const made = work();
    const wall = performance.now() - begin;
    const used = process.cpuUsage(cpuBefore);
    const found = this.#of.get(name) ?? { wall: [], cpu: [] };
    this.#of.set(name, found);
    found.wall.push(wall);
    found.cpu.push(Math.min(wall, (used.user + used.system) / 1000));
    return made;
  }

  print(): void {
    for (const [name, { wall, cpu }] of this.#of) {
      process.stdout.write(
        `  ${name.padEnd(24)} ${String(wall.length).padStart(7)} turns; ` +
          `cpu ${shares(cpu)}; wall ${shares(wall)}\n`,
      );
    }
    this.#of.clear();
  }
}

function shares(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(2);
  return `p50 ${at(0.5)} p99.9 ${at(0.999)} max ${at(1)} ms`;
}

/** Prints the figures for a history of `rows` changes. */
export async function benchCompaction(rows: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "coffer-compaction-"));
  const store = openStateStore({ mac: TEST_MAC, path: join(folder, "state.db"), commit: "later" });
  const turns = new Turns();
  const fsm = createFsm(
    { ...store, vacuum: (pages) => turns.measure("of it vacuum", () => store.vacuum(pages)) },
    sha256,
  );
  const apply = (commands: readonly Command[], over = {}): void => {
    fsm.apply([
      entryOf(
        fsm.appliedIndex + 1,
        commands.map((command) => proposal(command, over)),
      ),
    ]);
  };
  const fill = async (keys: number, versions: number, over = {}): Promise<void> => {
    const value = "v".repeat(VALUE_BYTES);
    for (let at = 0; at < keys * versions; at += BATCH) {
      const puts = Array.from({ length: BATCH }, (_, i): Command => {
        // Not in order of the keys, as clients write.
        const name = `key-${((at + i) * 7919) % keys}`;
        return { kind: "put", request: put(name, value) };
      });
      apply(puts, over);
      fsm.flush();
      // So that the log is copied back as it is in a member.
      await turn();
    }
  };
  /** Runs to the end of what is to be removed, in slices as a member does. */
  const clean = (name: string): Promise<void> =>
    new Promise<void>((resolve, reject) => {
      const compaction = new HistoryCompaction({
        machine: {
          compactStep(budget) {
            const isLeft = turns.measure(`${name}: step`, () => fsm.compactStep(budget));
            if (!isLeft) resolve();
            return isLeft;
          },
        },
        // As a member's.
        clock: { now: () => Math.floor(performance.now()) },
        scheduler: {
          soon: (work) => void setImmediate(work),
          after(ms, work) {
            const timer = setTimeout(() => turns.measure(`${name}: slice`, work), ms);
            return () => clearTimeout(timer);
          },
          every: () => () => undefined,
        },
        mayRun: () => true,
        isBusy: () => store.isCopying(),
        isFilling: () => false,
        commit: () => turns.measure(`${name}: commit`, () => fsm.flush()),
        onFailure: reject,
      });
      compaction.tick();
    }).then(() => turns.print());

  try {
    apply([{ kind: "tenant-create", id: TENANT, name: "acme", records: [] }], {
      tenant: CLUSTER_SCOPE,
    });
    apply([{ kind: "tenant-create", id: OTHER, name: "other", records: [] }], {
      tenant: CLUSTER_SCOPE,
    });
    await fill(rows / VERSIONS, VERSIONS);
    process.stdout.write(`${rows} changes compacted\n`);
    apply([{ kind: "compact", revision: fsm.reader.tenant(TENANT)?.revision ?? 0 }]);
    await clean("compaction");
    await fill(DELETED_KEYS, 1, { tenant: OTHER });
    process.stdout.write(`a tenant of ${DELETED_KEYS} keys deleted\n`);
    apply([{ kind: "tenant-delete", id: OTHER }], { tenant: CLUSTER_SCOPE });
    await clean("tenant");
    process.stdout.write("single applies, as in etcd\n");
    await fill(DELETED_KEYS, 1);
    turns.measure(`delete-range of ${DELETED_KEYS}`, () =>
      apply([{ kind: "delete-range", request: del("\0", "\0") }]),
    );
    turns.measure("its commit", () => fsm.flush());
    const lease = leaseId(1n);
    apply([{ kind: "lease-grant", id: lease, ttl: 600 }]);
    for (let at = 0; at < LEASE_KEYS; at += BATCH) {
      apply(
        Array.from({ length: BATCH }, (_, i) => ({
          kind: "put",
          request: put(`leased-${at + i}`, "v".repeat(VALUE_BYTES), { lease }),
        })),
      );
    }
    fsm.flush();
    turns.measure(`revoke of ${LEASE_KEYS} keys`, () =>
      apply([{ kind: "lease-revoke", id: lease, cause: "revoked" }]),
    );
    turns.measure("its commit", () => fsm.flush());
    turns.print();
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
