import type { Clock, Scheduler } from "../stdx/mod.ts";

/** Wall time as of the start, moved on by the monotonic clock: setting the wall clock does not jump it. */
export const processClock: Clock = {
  now: () => Math.floor(performance.timeOrigin + performance.now()),
};

/** The same with fractions, for what takes less than a millisecond. */
export const fineClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
};

/** node's timers. None keeps the process alive: the listening port does. */
export const processScheduler: Scheduler = {
  soon: (work) => void setImmediate(work),
  after: (ms, work) => {
    const timer = setTimeout(work, ms).unref();
    return () => clearTimeout(timer);
  },
  every: (ms, work) => {
    const timer = setInterval(work, ms).unref();
    return () => clearInterval(timer);
  },
};
