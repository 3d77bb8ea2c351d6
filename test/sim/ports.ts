import type { Fsm } from "../../src/core/fsm/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { LogStore, StateMachine } from "../../src/node/mod.ts";
import type { Life } from "./life.ts";

/** The ports of a node over a member's disk, with the checks at them. */

export function logOf(life: Life): LogStore {
  const { member, world } = life;
  const { files: disk } = member;
  return {
    get firstIndex() {
      return disk.log.log.firstIndex;
    },
    get lastIndex() {
      return disk.log.log.lastIndex;
    },
    get hardState() {
      return disk.log.log.hardState;
    },
    term: (index) => disk.log.log.term(index),
    entries: (lo, hi, bytesMax) => disk.log.log.entries(lo, hi, bytesMax),
    save: (batch) => {
      life.gate("save: before");
      if (disk.isFull) throw new CofferError("no-space");
      if (world.mutant.saveLagMs !== undefined) life.lagSaves(world.mutant.saveLagMs);
      disk.log.save(batch);
      life.spent += disk.saveMs;
      world.truth.saved(member, batch.entries);
      life.gate("save: after");
    },
    compact: (index) => {
      life.gate("log compaction");
      disk.log.compact(index);
      world.coverage.add("logs compacted");
      world.engine.note(`${life.name} compacts its log up to ${index}`);
    },
  };
}

export function machineOf(life: Life, fsm: Fsm): StateMachine {
  const { member, world } = life;
  const { truth } = world;
  const machine: StateMachine = {
    get appliedIndex() {
      return fsm.appliedIndex;
    },
    get leaseTime() {
      return fsm.leaseTime;
    },
    apply: (entries) => {
      for (const { index } of entries) {
        member.applied = { index: index - 1 };
        const [raw] = member.disk.entries(index, index + 1, 1);
        truth.raft.applied(member, raw!);
      }
      const applied = fsm.apply(entries);
      member.applied = { index: fsm.appliedIndex };
      truth.applied(fsm, entries, applied);
      if (life.node !== undefined) member.look(life.node);
      truth.raft.acted(member);
      world.engine.note(`${life.name} applies up to ${fsm.appliedIndex}`);
      return applied;
    },
    flush: () => fsm.flush(),
    reload: () => {
      fsm.reload();
      member.applied = { index: fsm.appliedIndex };
      truth.state(fsm, world.tenants);
      truth.raft.restarted(member);
    },
    reader: fsm.reader,
    watchSource: fsm.watchSource,
    expiredLeases: (now, max) => fsm.expiredLeases(now, max),
    nextLeaseDeadline: () => fsm.nextLeaseDeadline(),
    compactStep: (rows) => fsm.compactStep(rows),
  };
  return world.mutant.machine?.(machine) ?? machine;
}
