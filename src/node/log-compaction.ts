import type { Raft } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { LogStore, NodeStorage, StateMachine } from "./ports.ts";

/** Entries kept behind the durable applied index for members that lag. */
const LOG_MARGIN_ENTRIES = 1000;
/**
 * Entries kept at most for live members that have not got them: one that is further behind gets a
 * snapshot, which is quicker for it and does not fill this member's disk.
 */
const LOG_KEEP_ENTRIES_MAX = 200_000;

export interface LogCompactionDeps {
  readonly machine: StateMachine;
  readonly storage: NodeStorage;
  readonly log: LogStore;
  readonly raft: Raft;
  readonly logger: Logger;
  /** Applied entries after which the log is compacted. */
  readonly snapshotEntries: number;
  /** Snapshots on their way to others need what follows them. */
  readonly snapshots: {
    readonly isSending: boolean;
    readonly oldestOutgoing: number | undefined;
  };
  /** Whether the member was heard of within the last election timeout. */
  isConnected(member: MemberId): boolean;
  /** Commits the state; false if it could not be. */
  commitState(): boolean;
  isStopped(): boolean;
}

/** Forgets log entries that the state on the disk has made needless. */
export class LogCompaction {
  readonly #deps: LogCompactionDeps;
  #isRunning = false;

  constructor(deps: LogCompactionDeps) {
    this.#deps = deps;
  }

  async tick(): Promise<void> {
    const { machine, storage, log, snapshotEntries, logger, commitState, isStopped } = this.#deps;
    if (this.#isRunning) return;
    const gain = this.#upTo(machine.appliedIndex) - (log.firstIndex - 1);
    if (gain < snapshotEntries) return;
    this.#isRunning = true;
    try {
      if (!commitState()) return;
      const durable = await storage.checkpoint();
      if (isStopped()) return;
      const upTo = this.#upTo(durable);
      if (upTo < log.firstIndex) return;
      log.compact(upTo);
      logger.debug("Log compacted", { index: upTo });
    } catch (error) {
      logger.warn("Log could not be compacted, it will be tried again", { cause: error });
    } finally {
      this.#isRunning = false;
    }
  }

  #upTo(durable: number): number {
    const behind = durable - Math.min(LOG_MARGIN_ENTRIES, this.#deps.snapshotEntries);
    // Asking raft costs more than looking whether there is anything to gain.
    return behind < this.#deps.log.firstIndex ? behind : Math.min(behind, this.#neededFrom() - 1);
  }

  /** The first entry that a member still needs of this one. */
  #neededFrom(): number {
    const { raft, machine, log, snapshots, isConnected } = this.#deps;
    const { isSending, oldestOutgoing } = snapshots;
    if (isSending && oldestOutgoing === undefined) return log.firstIndex;
    let needed = oldestOutgoing === undefined ? Number.MAX_SAFE_INTEGER : oldestOutgoing + 1;
    for (const { id, match, state } of raft.status().peers) {
      // Who waits for a snapshot needs what follows that, not what follows its own log.
      if (isConnected(id) && state !== "snapshot") needed = Math.min(needed, match + 1);
    }
    return Math.max(needed, machine.appliedIndex - LOG_KEEP_ENTRIES_MAX);
  }
}
