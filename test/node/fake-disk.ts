import type { CommittedEntry, FsmBackend } from "../../src/core/fsm/mod.ts";
import type { Entry, SnapshotMeta } from "../../src/core/raft/mod.ts";
import { CofferError } from "../../src/errors.ts";
import type { LogStore, StateMachine } from "../../src/node/mod.ts";
import { createMemoryBackend } from "../fsm/memory-backend.ts";
import { type MemoryLog, createMemoryLog } from "../raft/memory-log.ts";

/** The files of one member in memory: they last when the node is made anew, and can be full. */
export interface Disk {
  log: MemoryLog;
  readonly backend: FsmBackend;
  /** What saving, or applying, throws. */
  saveFails: Error | undefined;
  applyFails: Error | undefined;
  now: number;
  /** What a checkpoint answers; undefined: the applied index. */
  durable: number | undefined;
}

export function createDisk(backend: FsmBackend = createMemoryBackend()): Disk {
  const log = createMemoryLog();
  return {
    log,
    backend,
    saveFails: undefined,
    applyFails: undefined,
    now: 1_000_000,
    durable: undefined,
  };
}

export const noSpace = (): CofferError => new CofferError("no-space");

/** What a node has done to its disk. */
export interface DiskTrace {
  /** Entries of each save. */
  readonly saves: (readonly Entry[])[];
  /** Each call of apply. */
  readonly applies: (readonly CommittedEntry[])[];
  /** Log compactions asked for. */
  readonly compactions: number[];
}

export function logOn(disk: Disk, trace: DiskTrace): LogStore {
  return {
    get firstIndex() {
      return disk.log.firstIndex;
    },
    get lastIndex() {
      return disk.log.lastIndex;
    },
    get hardState() {
      return disk.log.hardState;
    },
    term: (index) => disk.log.term(index),
    entries: (lo, hi, bytesMax) => disk.log.entries(lo, hi, bytesMax),
    save: ({ hardState, entries }) => {
      if (disk.saveFails !== undefined) throw disk.saveFails;
      disk.log.save({ hardState, snapshot: undefined, entries });
      if (entries.length > 0) trace.saves.push(entries);
    },
    compact: (index) => {
      trace.compactions.push(index);
      disk.log.compact(index);
    },
  };
}

/** What installing a snapshot does to the log. */
export function resetLog(disk: Disk, meta: SnapshotMeta): void {
  const { hardState } = disk.log;
  const commit = Math.max(hardState.commit, meta.index);
  const term = Math.max(hardState.term, meta.term);
  disk.log.save({ hardState: { ...hardState, commit, term }, snapshot: meta, entries: [] });
}

export function machineOver(disk: Disk, fsm: StateMachine, trace: DiskTrace): StateMachine {
  return {
    get appliedIndex() {
      return fsm.appliedIndex;
    },
    get leaseTime() {
      return fsm.leaseTime;
    },
    apply: (entries) => {
      if (disk.applyFails !== undefined) throw disk.applyFails;
      trace.applies.push(entries);
      return fsm.apply(entries);
    },
    flush: () => fsm.flush(),
    reload: () => fsm.reload(),
    reader: fsm.reader,
    watchSource: fsm.watchSource,
    expiredLeases: (now, max) => fsm.expiredLeases(now, max),
    nextLeaseDeadline: () => fsm.nextLeaseDeadline(),
    compactStep: (rows) => fsm.compactStep(rows),
  };
}
