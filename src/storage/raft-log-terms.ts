import { assert } from "../stdx/mod.ts";
import type { LogBase } from "./raft-log-rows.ts";

/**
 * The terms of a log in memory. Terms rise rarely, so they are kept as runs of entries of one term,
 * and asking for one never reads the disk.
 */
export class TermRuns {
  #base: LogBase;
  #lastIndex: number;
  /** In order; each holds up to the next one's `from`. */
  #runs: { readonly from: number; readonly term: number }[] = [];

  constructor(base: LogBase) {
    this.#base = base;
    this.#lastIndex = base.index;
  }

  get base(): LogBase {
    return this.#base;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  term(index: number): number | undefined {
    if (index < this.#base.index || index > this.#lastIndex) return undefined;
    if (index === this.#base.index) return this.#base.term;
    return this.#runs.findLast(({ from }) => from <= index)?.term;
  }

  /** Adds the entry at `index`; what was there, and after it, is forgotten. */
  append(index: number, term: number): void {
    assert(index > this.#base.index && index <= this.#lastIndex + 1, "Terms have a gap");
    if (index <= this.#lastIndex) this.#runs = this.#runs.filter(({ from }) => from < index);
    const last = this.#runs[this.#runs.length - 1];
    if (last === undefined || last.term !== term) this.#runs.push({ from: index, term });
    this.#lastIndex = index;
  }

  compact(base: LogBase): void {
    const next = this.term(base.index + 1);
    this.#base = base;
    this.#runs = this.#runs.filter(({ from }) => from > base.index + 1);
    if (next !== undefined) this.#runs.unshift({ from: base.index + 1, term: next });
  }

  reset(base: LogBase): void {
    this.#base = base;
    this.#lastIndex = base.index;
    this.#runs = [];
  }
}
