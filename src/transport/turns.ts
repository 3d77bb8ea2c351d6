/** So many times in each second, and no more: for what a broker can cause as often as it likes. */
export class Turns {
  readonly #perSecond: number;
  #from = Number.NEGATIVE_INFINITY;
  #taken = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether there is one left at `now`, in milliseconds. */
  take(now: number): boolean {
    if (now - this.#from >= 1000) {
      this.#from = now;
      this.#taken = 0;
    }
    return ++this.#taken <= this.#perSecond;
  }
}
