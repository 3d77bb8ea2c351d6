import type { Scheduler } from "../stdx/mod.ts";

interface Wait {
  readonly test: () => boolean;
  readonly end: (held: boolean) => void;
}

/** Waits for something about this member to become true: looked at after each turn of its work. */
export class Waits {
  readonly #scheduler: Scheduler;
  readonly #waits = new Set<Wait>();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** True as soon as `test` holds; false after `ms`, or when the member stops. */
  until(ms: number, test: () => boolean): Promise<boolean> {
    if (test()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (held: boolean): void => {
        this.#waits.delete(wait);
        cancel();
        resolve(held);
      };
      const wait: Wait = { test, end };
      const cancel = this.#scheduler.after(Math.max(0, ms), () => end(test()));
      this.#waits.add(wait);
    });
  }

  look(): void {
    if (this.#waits.size === 0) return;
    for (const wait of this.#waits) if (wait.test()) wait.end(true);
  }

  endAll(): void {
    for (const wait of this.#waits) wait.end(false);
  }
}
