import type { Prng } from "../../stdx/mod.ts";

export interface WatchHubOptions {
  /** Jitter of progress notifications, shape of the index. Seeded from outside: core has no chance. */
  readonly prng: Prng;
  /** Between periodic progress notifications; raised to 100 ms (etcd v3rpc/watch.go). */
  readonly progressIntervalMs?: number;
  /** Bounds of one stream's outbox; past either, its watchers fall behind and catch up later. */
  readonly streamBytesMax?: number;
  readonly streamEventsMax?: number;
  /** Replies without events that may wait unread; past them the stream is ended. */
  readonly streamControlsMax?: number;
  /**
   * Ids of watches ended by compaction that stay in use until the client cancels them. Past it the
   * oldest is free again: it may be given to another watch, and its cancel is not answered.
   */
  readonly compactedIdsMax?: number;
  /** Revisions read in one slice of catching up, at most 1000 (etcd watchBatchMaxRevs). */
  readonly sliceRevisionsMax?: number;
  /** Recent changes kept for catching up without the store, all tenants together. */
  readonly recentBytesMax?: number;
  /** Called when catching up has work that `tick` should soon do, such as from setImmediate. */
  readonly onWork?: () => void;
}

/** The options with their defaults. */
export type WatchSettings = Required<WatchHubOptions>;

export const PROGRESS_INTERVAL_MS_MIN = 100;
export const SLICE_REVISIONS_MAX = 1000;

/** A response with at least two events is split before it reaches this, if the client asked. */
export const FRAGMENT_BYTES: number = 2 * 1024 * 1024;

export function watchSettings(options: WatchHubOptions): WatchSettings {
  const intervalMs = options.progressIntervalMs ?? 600_000;
  const sliceRevisions = options.sliceRevisionsMax ?? 256;
  return {
    prng: options.prng,
    progressIntervalMs: Math.max(intervalMs, PROGRESS_INTERVAL_MS_MIN),
    streamBytesMax: options.streamBytesMax ?? 1024 * 1024,
    streamEventsMax: options.streamEventsMax ?? 4096,
    streamControlsMax: options.streamControlsMax ?? 16_384,
    compactedIdsMax: options.compactedIdsMax ?? 16_384,
    sliceRevisionsMax: Math.min(sliceRevisions, SLICE_REVISIONS_MAX),
    recentBytesMax: options.recentBytesMax ?? 16 * 1024 * 1024,
    onWork: options.onWork ?? (() => undefined),
  };
}
