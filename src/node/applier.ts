import type { AppliedBatch, CommittedEntry } from "../core/fsm/mod.ts";
import type { Cancel, Scheduler } from "../stdx/mod.ts";
import { readEntry } from "./entries.ts";
import type { LogStore, StateMachine } from "./ports.ts";

/**
 * Applies committed entries and has the state committed a little later, many batches together: the
 * log holds them already, so that only a page that changed, and not each change of it, is written.
 * When committing fails, on a full disk, the state machine is back where it was last committed; what
 * has been answered since is then applied again from the log before anything else.
 */

/** Milliseconds that applied entries may wait for the commit of the state. */
const COMMIT_DELAY_MS = 25;
/** Bytes of entries past which the state is committed at once. */
const UNCOMMITTED_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes of entries that one step of applying again reads. */
const REPLAY_BYTES_MAX = 4 * 1024 * 1024;

export interface ApplierDeps {
  readonly machine: StateMachine;
  readonly log: LogStore;
  readonly scheduler: Scheduler;
  /** What was answered before, and taken back by a failed commit, is applied once more. */
  readonly onAgain: (applied: AppliedBatch) => void;
  /** Committing failed as `flush` does; called from a timer. */
  readonly onFailure: (error: unknown) => void;
}

export class Applier {
  readonly #deps: ApplierDeps;
  /** The last entry whose effects have been answered. */
  #index: number;
  #uncommittedBytes = 0;
  #cancelCommit: Cancel | undefined;
  /**
   * Entries that changed the members and are not committed yet, by index: what they came to is known
   * from consensus, which is not asked twice.
   */
  readonly #confEntries = new Map<number, CommittedEntry>();

  constructor(deps: ApplierDeps) {
    this.#deps = deps;
    this.#index = deps.machine.appliedIndex;
  }

  /** Whether the state has lost what was answered; it must not be read as the latest then. */
  get isBehind(): boolean {
    return this.#deps.machine.appliedIndex < this.#index;
  }

  /** Throws `no-space`; nothing of the batch is applied then, and it can be applied again. */
  apply(batch: readonly CommittedEntry[], bytes: number): AppliedBatch {
    this.catchUp();
    const applied = this.#deps.machine.apply(batch);
    this.#index = this.#deps.machine.appliedIndex;
    for (const entry of batch) {
      if (entry.confState !== undefined) this.#confEntries.set(entry.index, entry);
    }
    this.#uncommittedBytes += bytes;
    if (this.#uncommittedBytes > UNCOMMITTED_BYTES_MAX) this.#commitNow();
    else this.commitSoon();
    return applied;
  }

  /** Something has changed the state: it is committed within `COMMIT_DELAY_MS`. */
  commitSoon(): void {
    this.#cancelCommit ??= this.#deps.scheduler.after(COMMIT_DELAY_MS, () => this.#commitNow());
  }

  /** Applies again what a failed commit took back. Throws as `apply`. */
  catchUp(): void {
    const { machine, log, onAgain } = this.#deps;
    while (machine.appliedIndex < this.#index) {
      const entries = log.entries(machine.appliedIndex + 1, this.#index + 1, REPLAY_BYTES_MAX);
      const applied = machine.apply(
        entries.map(
          (entry) =>
            this.#confEntries.get(entry.index) ??
            readEntry(entry, undefined, () => undefined).committed,
        ),
      );
      machine.flush();
      onAgain(applied);
    }
  }

  /** Commits the state. Throws `no-space`; see `isBehind`. */
  flush(): void {
    this.#forgetTimer();
    this.#deps.machine.flush();
    if (this.#confEntries.size > 0 && !this.isBehind) this.#confEntries.clear();
  }

  /** The state was replaced by a snapshot: nothing that was applied before matters. */
  stateReplaced(): void {
    this.#forgetTimer();
    this.#confEntries.clear();
    this.#index = this.#deps.machine.appliedIndex;
  }

  #forgetTimer(): void {
    this.#cancelCommit?.();
    this.#cancelCommit = undefined;
    this.#uncommittedBytes = 0;
  }

  #commitNow(): void {
    try {
      this.flush();
    } catch (error) {
      this.#deps.onFailure(error);
    }
  }
}
