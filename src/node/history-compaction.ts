import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { StateMachine } from "./ports.ts";

/** Rows that one step of removal touches: what is not divided further. */
const STEP_ROWS = 16;
/** Milliseconds of the clock after which a slice ends. */
const SLICE_MS = 2;
/** Steps of a slice, whatever the clock says. */
const SLICE_STEPS_MAX = 64;
/** Milliseconds between slices, so that requests come first. */
const PAUSE_MS = 5;

export interface HistoryCompactionDeps {
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** False: not now; a later tick starts it again. */
  mayRun(): boolean;
  /** A slice has changed the state. */
  onWork(): void;
  onFailure(error: unknown): void;
}

/** Removes compacted history and deleted tenants in slices, while there is any. */
export class HistoryCompaction {
  readonly #deps: HistoryCompactionDeps;
  #isScheduled = false;

  constructor(deps: HistoryCompactionDeps) {
    this.#deps = deps;
  }

  tick(): void {
    if (!this.#isScheduled) this.#slice();
  }

  #slice(): void {
    this.#isScheduled = false;
    const { scheduler, mayRun, onWork, onFailure } = this.#deps;
    if (!mayRun()) return;
    try {
      if (!this.#work()) return;
      onWork();
    } catch (error) {
      onFailure(error);
      return;
    }
    this.#isScheduled = true;
    scheduler.after(PAUSE_MS, () => this.#slice());
  }

  /** True while work is left. */
  #work(): boolean {
    const { machine, clock } = this.#deps;
    const end = clock.now() + SLICE_MS;
    for (let step = 0; step < SLICE_STEPS_MAX; step++) {
      if (!machine.compactStep(STEP_ROWS)) return false;
      if (clock.now() >= end) return true;
    }
    return true;
  }
}
