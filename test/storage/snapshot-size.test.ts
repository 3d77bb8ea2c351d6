import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { NO_MEMBER } from "../../src/core/raft/mod.ts";
import { SnapshotExchange } from "../../src/node/snapshot-exchange.ts";
import type { Scheduler } from "../../src/stdx/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { SNAPSHOT_CHUNK_BYTES_MAX } from "../../src/wire/mod.ts";
import { proposal, put } from "../fsm/fixtures.ts";
import { type FileMember, newFolder, openFiles } from "./snapshot-stand.ts";

/** MiB of the state; give 1024 to see the figures of a large one. */
const MEBIBYTES = Number(process.env["COFFER_SNAPSHOT_MIB"] ?? 64);
const VALUE_BYTES = 4096;
const WINDOW_BYTES = 8 * SNAPSHOT_CHUNK_BYTES_MAX;

const realScheduler: Scheduler = {
  soon: (work) => void setImmediate(work),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  every(ms, work) {
    const timer = setInterval(work, ms);
    return () => clearInterval(timer);
  },
};

/** The turns of the event loop: how many, and the longest time between two. */
function watchLoop(): { lap(): string; turns(): number; stop(): void } {
  let turns = 0;
  let longest = 0;
  let resident = 0;
  let last = performance.now();
  let begun = last;
  const turn = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    turns += 1;
    if (turns % 16 === 0) resident = Math.max(resident, process.memoryUsage.rss());
  };
  const timer = setInterval(turn, 1);
  return {
    lap() {
      turn();
      resident = Math.max(resident, process.memoryUsage.rss());
      const text =
        `${(last - begun).toFixed(0)} ms, longest turn ${longest.toFixed(0)} ms, ` +
        `${(resident / 2 ** 20).toFixed(0)} MiB resident`;
      longest = 0;
      resident = 0;
      begun = last;
      return text;
    },
    turns: () => turns,
    stop: () => clearInterval(timer),
  };
}

function fillState({ machine, store }: FileMember, mebibytes: number): void {
  const { fsm } = machine;
  const value = "v".repeat(VALUE_BYTES);
  const perBatch = 256;
  for (let at = 0; at < (mebibytes * 2 ** 20) / VALUE_BYTES; at += perBatch) {
    const proposals = Array.from({ length: perBatch }, (_, i) =>
      proposal({ kind: "put", request: put(`key-${at + i}`, value) }),
    );
    const index = fsm.appliedIndex + 1;
    fsm.apply([{ index, term: 1, time: 1, leaseTime: 1, proposals }]);
    fsm.flush();
  }
  store.checkpoint();
}

test(`a state of ${MEBIBYTES} MiB comes over in constant memory, off the event loop`, async (context) => {
  const folder = newFolder(context);
  const leader = openFiles({ dataDir: `${folder}/leader` });
  const follower = openFiles({ dataDir: `${folder}/follower` });
  const loop = watchLoop();
  context.after(() => {
    loop.stop();
    leader.close();
    follower.close();
    rmSync(folder, { recursive: true, force: true });
  });
  fillState(leader, MEBIBYTES);
  fillState(follower, 8);
  context.diagnostic(`fill: ${loop.lap()}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
  context.diagnostic(`rest: ${loop.lap()}`);

  let flight = 0;
  let flightMax = 0;
  const exchanges = new Map<string, SnapshotExchange>();
  let resolveArrived: (index: number) => void = () => undefined;
  const arrived = new Promise<number>((resolve) => (resolveArrived = resolve));
  let resolveSent: (delivered: boolean) => void = () => undefined;
  const sent = new Promise<boolean>((resolve) => (resolveSent = resolve));
  const add = (name: string, member: FileMember): SnapshotExchange => {
    const exchange = new SnapshotExchange({
      send(to, bytes) {
        flight += bytes.length;
        flightMax = Math.max(flightMax, flight);
        setImmediate(() => {
          flight -= bytes.length;
          exchanges.get(to)?.receive(name, bytes);
        });
        return true;
      },
      store: member.snapshots,
      scheduler: realScheduler,
      clock: { now: () => performance.now() },
      logger: silentLogger,
      appliedIndex: () => member.machine.fsm.appliedIndex,
      onArrived(_from, { meta }) {
        context.diagnostic(`stream and check: ${loop.lap()}`);
        member.snapshots.install(meta);
        member.machine.fsm.reload();
        context.diagnostic(`install: ${loop.lap()}`);
        resolveArrived(meta.index);
      },
      onSent: (_to, delivered) => resolveSent(delivered),
    });
    exchanges.set(name, exchange);
    return exchange;
  };
  const sender = add("leader", leader);
  add("follower", follower);
  const { appliedIndex } = leader.machine.fsm;
  const before = loop.turns();
  const copy = await leader.snapshots.create(appliedIndex);
  context.diagnostic(`copy of ${(copy.bytes / 2 ** 20).toFixed(0)} MiB: ${loop.lap()}`);
  assert.ok(loop.turns() - before > 3, "the copy held the event loop");
  sender.start("follower", {
    kind: "snapshot",
    from: NO_MEMBER,
    to: NO_MEMBER,
    term: 1,
    snapshot: copy.meta,
  });
  assert.equal(await arrived, appliedIndex);
  assert.equal(await sent, true);
  copy.release();
  const chain = (member: FileMember): unknown => {
    const [tenant] = member.machine.fsm.reader.tenants();
    return tenant && member.machine.fsm.chainAt(tenant.id, 0);
  };
  assert.deepEqual(chain(follower), chain(leader));
  assert.ok(flightMax <= WINDOW_BYTES + 4096, `${flightMax} bytes on their way at once`);
  for (const exchange of exchanges.values()) exchange.stop();
});
