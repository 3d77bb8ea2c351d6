import type { LogStore } from "./ports.ts";

/**
 * The last change of members applied here, and whether this member would still know after a crash that
 * it is committed. The state is on the disk later than it is answered, and a commit index is saved only
 * with the next entry: a member that forgets both is back in the configuration before, and one that was
 * told of its removal and has ended may be just the voter that it needs then.
 */
export class ChangeMark {
  readonly #log: Pick<LogStore, "hardState">;
  #index: number;
  #isTold = true;

  /** `appliedIndex`: as of the start. What was applied before may be in the log's past or not. */
  constructor(log: Pick<LogStore, "hardState">, appliedIndex: number) {
    this.#log = log;
    this.#index = appliedIndex;
  }

  /** A change of members was applied with entry `index`, or one up to it. */
  applied(index: number): void {
    this.#index = index;
    this.#isTold = false;
  }

  get isSafe(): boolean {
    return this.#log.hardState.commit >= this.#index;
  }

  /** True once after each change, when it has become safe. */
  takeNews(): boolean {
    if (this.#isTold || !this.isSafe) return false;
    this.#isTold = true;
    return true;
  }
}
