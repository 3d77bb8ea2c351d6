import type { Clock } from "./ports.ts";

/** Work that is spread over turns of the event loop, so that no request holds it (design.md section 2). */
export interface Slices {
  /** Whether this turn has had its share. */
  isOver(): boolean;
  /** Waits for the next turn. */
  next(): Promise<void>;
}

/** Of the clock's whole milliseconds: a turn is over after one to two. */
const SLICE_MS = 2;

export function createSlices(clock: Clock): Slices {
  let started = clock.now();
  return {
    isOver: () => clock.now() - started >= SLICE_MS,
    next: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      started = clock.now();
    },
  };
}
