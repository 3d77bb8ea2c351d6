import { CofferError } from "../errors.ts";

/** What a wait listens to beside the clock. */
export class Bell {
  #waiting: (() => void) | undefined;

  /** Ends the wait that is under way; nothing is kept for a later one. */
  ring(): void {
    this.#waiting?.();
  }

  /** Waits for a ring, and no longer than `ms`. Rejects with `stopped` when `signal` aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!signal.aborted) {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", end);
          this.#waiting = undefined;
          resolve();
        };
        const timer = setTimeout(end, ms);
        signal.addEventListener("abort", end);
        this.#waiting = end;
      });
    }
    if (signal.aborted) throw new CofferError("stopped");
  }
}
