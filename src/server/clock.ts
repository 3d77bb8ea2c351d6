import type { Clock } from "../stdx/mod.ts";

/** Wall time as of the start, moved on by the monotonic clock: setting the wall clock does not jump it. */
export const processClock: Clock = {
  now: () => Math.floor(performance.timeOrigin + performance.now()),
};
