import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { StateMachine } from "./ports.ts";

/** Rows that one step of removal touches: what is not divided further. */
const STEP_ROWS = 16;
/** Milliseconds of the clock after which a slice ends. */
const SLICE_MS = 1;
/** Steps of a slice, whatever the clock says: what its commit writes is in proportion to them. */
const SLICE_STEPS_MAX = 6;
/** Milliseconds between slices, at least. */
const PAUSE_MS_MIN = 5;
/**
 * As many times as long as the slice and its commit took is paused after it: removal gets at most a
 * tenth of the event loop, and less of the machine the less of it there is.
 */
const PAUSE_FACTOR = 9;
/** Likewise while room comes to an end: at a tenth, removal may be slower than writes make garbage. */
const FILLING_PAUSE_FACTOR = 1;
/** Milliseconds between slices, at most. */
const PAUSE_MS_MAX = 250;
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
  /** True: better now. */
  isFilling(): boolean;
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
    const { clock, scheduler, mayRun, isBusy, isFilling, commit, onFailure } = this.#deps;
    if (!mayRun()) return;
    const began = clock.now();
    this.#waits = isBusy() && this.#waits < WAITS_MAX ? this.#waits + 1 : 0;
    if (this.#waits === 0) {
      try {
        if (!this.#work(began + SLICE_MS)) return;
        commit();
      } catch (error) {
        onFailure(error);
        return;
      }
    }
    this.#isScheduled = true;
    const factor = isFilling() ? FILLING_PAUSE_FACTOR : PAUSE_FACTOR;
    scheduler.after(pauseAfter(clock.now() - began, factor), () => this.#slice());
  }

  /** False if there was nothing to do. */
  #work(end: number): boolean {
    const { machine, clock } = this.#deps;
    let steps = 0;
    while (steps < SLICE_STEPS_MAX && machine.compactStep(STEP_ROWS)) {
      steps += 1;
      if (clock.now() >= end) break;
    }
    return steps > 0;
  }
}

/** Milliseconds; of a clock that counts whole ones this is right on average. */
function pauseAfter(sliceMs: number, factor: number): number {
  return Math.min(Math.max(sliceMs * factor, PAUSE_MS_MIN), PAUSE_MS_MAX);
}
