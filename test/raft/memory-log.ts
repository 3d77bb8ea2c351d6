import assert from "node:assert/strict";
import type {
  ConfState,
  Entry,
  HardState,
  LogReader,
  Ready,
  SnapshotMeta,
} from "../../src/core/raft/mod.ts";
import { NO_MEMBER } from "../../src/core/raft/mod.ts";

/** A saved log in memory, as a node's storage keeps it: what it holds survives a crash. */
export interface MemoryLog extends LogReader {
  readonly hardState: HardState;
  /** Does the saves of one Ready. */
  save(ready: Pick<Ready, "hardState" | "snapshot" | "entries">): void;
  /** Forgets the entries up to `index`. */
  compact(index: number): void;
  all(): readonly Entry[];
  readonly snapshot: SnapshotMeta;
}

export const NO_CONF: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

export function createMemoryLog(start?: SnapshotMeta): MemoryLog {
  let snapshot: SnapshotMeta = start ?? { index: 0, term: 0, confState: NO_CONF };
  let entries: Entry[] = [];
  let hardState: HardState = { term: 0, vote: NO_MEMBER, commit: snapshot.index };
  const term = (index: number): number | undefined =>
    index === snapshot.index ? snapshot.term : entries[index - snapshot.index - 1]?.term;
  return {
    get firstIndex() {
      return snapshot.index + 1;
    },
    get lastIndex() {
      return snapshot.index + entries.length;
    },
    get hardState() {
      return hardState;
    },
    get snapshot() {
      return snapshot;
    },
    term,
    entries(lo, hi, bytesMax) {
      assert.ok(lo > snapshot.index && hi <= snapshot.index + entries.length + 1);
      const found: Entry[] = [];
      let bytes = 0;
      for (let i = lo; i < hi; i++) {
        const entry = entries[i - snapshot.index - 1] as Entry;
        bytes += entry.data.length;
        if (found.length > 0 && bytes > bytesMax) break;
        found.push(entry);
      }
      return found;
    },
    save(ready) {
      if (ready.snapshot !== undefined) {
        snapshot = ready.snapshot;
        entries = [];
      }
      if (ready.hardState !== undefined) hardState = ready.hardState;
      const first = ready.entries[0];
      if (first === undefined) return;
      assert.ok(first.index <= snapshot.index + entries.length + 1, "A save leaves a gap");
      assert.ok(first.index > snapshot.index, "A save goes behind the snapshot");
      entries.length = first.index - snapshot.index - 1;
      for (const entry of ready.entries) entries.push(entry);
    },
    compact(index) {
      const at = term(index);
      assert.ok(at !== undefined && index >= snapshot.index);
      entries = entries.slice(index - snapshot.index);
      snapshot = { ...snapshot, index, term: at };
    },
    all: () => entries,
  };
}
