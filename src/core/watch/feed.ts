import type { AppliedChange, Revision, TenantId } from "../types/mod.ts";
import { type Prng, assert } from "../../stdx/mod.ts";
import type { Stream } from "./stream.ts";
import { type SharedEvent, type Watcher, offer, sharedEvent } from "./watcher.ts";
import { WatcherIndex } from "./watcher-index.ts";

/** One tenant that is watched: its streams, and its watchers that keep up. */
export class Feed {
  readonly tenant: TenantId;
  readonly streams: Set<Stream> = new Set();
  readonly synced: WatcherIndex;
  /**
   * The last revision that was published, or that was there when the feed began. It is the one
   * present that all streams of the tenant know: what the store has beyond it is still to come.
   */
  published: Revision;

  constructor(tenant: TenantId, published: Revision, prng: Prng) {
    this.tenant = tenant;
    this.published = published;
    this.synced = new WatcherIndex(prng);
  }

  /** The state went on to `revision` and nothing of it is published: all who keep up fall behind. */
  jump(revision: Revision): void {
    assert(revision >= this.published, "The state went back under its watches");
    const before = this.published;
    this.published = revision;
    for (const stream of this.streams) stream.fallBehind(before);
  }

  /** Gives `change` to every watcher that keeps up and wants some of it. */
  publish(change: AppliedChange): void {
    const hits: Watcher[] = [];
    for (const event of change.events) {
      let shared: SharedEvent | undefined;
      this.synced.match(event.kv.key, (watcher) => {
        if (watcher.next > change.revision) return;
        shared ??= sharedEvent(event);
        offer(watcher, shared, hits);
      });
    }
    this.published = change.revision;
    for (const watcher of hits) watcher.owner.deliver(watcher, change.revision);
  }
}
