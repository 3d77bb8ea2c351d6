import { NO_MEMBER } from "../../src/core/raft/mod.ts";
import type { LogStore } from "../../src/node/mod.ts";
import { type MemoryLog, NO_CONF, createMemoryLog } from "../raft/memory-log.ts";

type Batch = Parameters<LogStore["save"]>[0];

/**
 * The log's file. What a save returned from is on the disk; a disk that lies about that is a mutant,
 * and loses at a crash what it held back. A save that a crash falls into is there whole or not at all,
 * as checksums see to.
 */
export class LogDisk {
  /** What the process sees. */
  #live: MemoryLog = createMemoryLog();
  /** What a crash leaves, where it is less. */
  #durable: MemoryLog | undefined;

  get log(): MemoryLog {
    return this.#live;
  }

  save({ hardState, entries }: Batch): void {
    this.#live.save({ hardState, snapshot: undefined, entries });
  }

  /** A mutant's: what is saved from here on is lost at a crash, until `sync`. */
  holdBack(): void {
    this.#durable ??= copyOf(this.#live);
  }

  sync(): void {
    this.#durable = undefined;
  }

  compact(index: number): void {
    this.#live.compact(index);
    if (this.#durable !== undefined && this.#durable.lastIndex >= index) {
      if (index >= this.#durable.snapshot.index) this.#durable.compact(index);
    }
  }

  /** An empty log that begins after the entry, as RaftLog.reset leaves it. */
  reset(base: { readonly index: number; readonly term: number }): void {
    const { term, vote, commit } = this.#live.hardState;
    this.#live.save({
      snapshot: { ...base, confState: NO_CONF },
      hardState: {
        term: Math.max(term, base.term),
        vote: base.term > term ? NO_MEMBER : vote,
        commit: Math.max(commit, base.index),
      },
      entries: [],
    });
    this.#durable = undefined;
  }

  crash(): void {
    if (this.#durable !== undefined) this.#live = this.#durable;
    this.#durable = undefined;
  }

  wipe(): void {
    this.#live = createMemoryLog();
    this.#durable = undefined;
  }
}

function copyOf(log: MemoryLog): MemoryLog {
  const copy = createMemoryLog(log.snapshot);
  copy.save({ hardState: log.hardState, snapshot: undefined, entries: log.all() });
  return copy;
}
