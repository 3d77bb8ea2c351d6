import type { AppliedChange } from "../types/mod.ts";
import type { Prng } from "../../stdx/mod.ts";
import type { Outbox } from "./outbox.ts";
import { type SharedEvent, type Watcher, offer, sharedEvent } from "./watcher.ts";
import { WatcherIndex } from "./watcher-index.ts";

/** The watchers of one stream that are behind, and how a slice of changes brings them on. */
export class Lagging {
  readonly #watchers = new Set<Watcher>();
  readonly #index: WatcherIndex;

  constructor(prng: Prng) {
    this.#index = new WatcherIndex(prng);
  }

  get size(): number {
    return this.#watchers.size;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
    this.#index.add(watcher);
  }

  delete(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    this.#index.delete(watcher);
  }

  /** Those whose next revision is below `revision`: all of them, or those that compaction overtook. */
  below(revision: number): Watcher[] {
    const below: Watcher[] = [];
    for (const watcher of this.#watchers) if (watcher.next < revision) below.push(watcher);
    return below;
  }

  /** The lowest revision that any of them still wants; Infinity if there is none. */
  nextRevision(): number {
    let lowest = Infinity;
    for (const { next } of this.#watchers) if (next < lowest) lowest = next;
    return lowest;
  }

  /**
   * Offers the changes to the watchers, revision by revision while `outbox` has room; at least the
   * first, so that a single huge revision cannot hold a stream for ever. Nothing above `upTo` is
   * offered. Returns the watchers with something pending, and the last revision that is dealt with.
   */
  offerSlice(
    changes: readonly AppliedChange[],
    upTo: number,
    outbox: Outbox,
  ): { readonly hits: readonly Watcher[]; readonly covered: number } {
    const hits: Watcher[] = [];
    const pending = { bytes: 0, events: 0 };
    let covered = changes.length === 0 ? upTo : 0;
    for (const change of changes) {
      if (change.revision > upTo) return { hits, covered: upTo };
      if (pending.events > 0 && !outbox.holds(pending.bytes, pending.events)) {
        return { hits, covered: change.revision - 1 };
      }
      covered = change.revision;
      for (const event of change.events) {
        let shared: SharedEvent | undefined;
        this.#index.match(event.kv.key, (watcher) => {
          if (watcher.next > change.revision) return;
          shared ??= sharedEvent(event);
          const bytes = watcher.pendingBytes;
          offer(watcher, shared, hits);
          if (watcher.pendingBytes === bytes) return;
          pending.bytes += watcher.pendingBytes - bytes;
          pending.events++;
        });
      }
    }
    return { hits, covered };
  }
}
