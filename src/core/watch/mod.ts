/** Watches: changes matched to watchers, and one ordered outbox for each stream. */
export { type WatchHub, type WatchHubStatus, type WatchStream, createWatchHub } from "./hub.ts";
export type { WatchHubOptions } from "./options.ts";
export type { ActiveWatch } from "./stream.ts";
