import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { StateMachine } from "./ports.ts";

/** Rows that one step of removal touches: what is not divided further. */
const STEP_ROWS = 16;
/** Milliseconds of the clock after which a slice ends. */
const SLICE_MS = 2;
/** Steps of a slice, whatever the clock says: what its commit writes is in proportion to them. */
const SLICE_STEPS_MAX = 6;
/** Milliseconds between slices, so that requests come first. */
const PAUSE_MS = 5;
/** Slices left out at most, one after the other, while the storage is busy. */
const WAITS_MAX = 100;

export interface HistoryCompactionDeps {
  readonly machine: Pick<StateMachine, "compactStep">;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** False: not now; a later tick starts it again. */
  mayRun(): boolean;
  /** True: better a little later. */
  isBusy(): boolean;
  /** Commits the state, so that what a slice dirtied does not add up. */
  commit(): void;
  onFailure(error: unknown): void;
}

/** Removes compacted history and deleted tenants in slices, while there is any. */
export class HistoryCompaction {
  readonly #deps: HistoryCompactionDeps;
  #isScheduled = false;
  #waits = 0;

  constructor(deps: HistoryCompactionDeps) {
    this.#deps = deps;
  }

  tick(): void {
    if (!this.#isScheduled) this.#slice();
  }

  #slice(): void {
    this.#isScheduled = false;
    const { scheduler, mayRun, isBusy, commit, onFailure } = this.#deps;
    if (!mayRun()) return;
    this.#waits = isBusy() && this.#waits < WAITS_MAX ? this.#waits + 1 : 0;
    if (this.#waits === 0) {
      try {
        if (!this.#work()) return;
        commit();
      } catch (error) {
        onFailure(error);
        return;
      }
    }
    this.#isScheduled = true;
    scheduler.after(PAUSE_MS, () => this.#slice());
  }

  /** False if there was nothing to do. */
  #work(): boolean {
    const { machine, clock } = this.#deps;
    const end = clock.now() + SLICE_MS;
    let steps = 0;
    while (steps < SLICE_STEPS_MAX && machine.compactStep(STEP_ROWS)) {
      steps += 1;
      if (clock.now() >= end) break;
    }
    return steps > 0;
  }
}
