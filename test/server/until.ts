import { setTimeout as pause } from "node:timers/promises";

/** Waits for what is written to a log or file, which tells nobody; the test's own limit ends it. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await pause(10);
}
