import type {
  AppliedChange,
  TenantId,
  WatchCreateRequest,
  WatchResponse,
  WatchSource,
} from "../types/mod.ts";
import { CofferError } from "../../errors.ts";
import { Feed } from "./feed.ts";
import { type WatchHubOptions, watchSettings } from "./options.ts";
import { RecentChanges } from "./recent-changes.ts";
import { type ActiveWatch, type StreamHost, Stream, tenantGone } from "./stream.ts";

/** One etcd watch stream. All it has to say waits, in order, in one outbox until `next` takes it. */
export interface WatchStream {
  /**
   * Starts a watch and returns its id; or answers why not and returns undefined. Whether the caller
   * may watch the range has been checked.
   */
  create(request: WatchCreateRequest): number | undefined;
  /** Answers a create that was not allowed. `reason` is the client's cancel_reason. */
  refuse(reason: string): void;
  /**
   * Answers, and frees the id; so too for a watch that compaction has ended, whose id is in use until
   * then. Unknown ids are ignored, as etcd does.
   */
  cancel(watchId: number): void;
  /** Ends a watch from this side, such as after a policy change. Unknown ids are ignored. */
  cancelWith(watchId: number, reason: string): void;
  /**
   * Answers with a progress message if all watches of the stream are synced, else not at all; one that
   * compaction has ended never is again, until it is cancelled.
   */
  progress(): void;
  /** The next response in order, or undefined if none waits. */
  next(): WatchResponse | undefined;
  /**
   * Called once after `next` answered undefined, when it may have something again or `ended` is set;
   * also before the first `next`. Never called from within `next`. Must not throw.
   */
  onReadable: () => void;
  /** Set when the stream is over from this side. Nothing can be read any more then. */
  readonly ended: CofferError | undefined;
  watches(): readonly ActiveWatch[];
  /** How many watches run. */
  readonly size: number;
  /** What waits unread: bytes of events, events, replies without events. */
  backlog(): { readonly bytes: number; readonly events: number; readonly controls: number };
  close(): void;
}

export interface WatchHub {
  /** Takes the changes of an applied batch, in order of revision for each tenant. */
  publish(changes: readonly AppliedChange[]): void;
  /** A stream on the tenant's keys. Throws CofferError `not-found` if there is no such tenant. */
  openStream(tenant: TenantId): WatchStream;
  /** Ends the tenant's streams. */
  tenantDeleted(tenant: TenantId): void;
  /**
   * The state was replaced by a later one, as by a leader's snapshot, and what happened in between is
   * not going to be published. Every watch goes on from where it is: it catches up from history, or is
   * cancelled where that is compacted. Streams of tenants that are gone end.
   */
  stateReplaced(): void;
  /**
   * Periodic progress, and a bounded slice of catching up. `now` in milliseconds, never going back.
   * True while catching up could go on at once: call it again soon, letting others run in between.
   */
  tick(now: number): boolean;
  /** For metrics. */
  status(): WatchHubStatus;
}

export interface WatchHubStatus {
  readonly streams: number;
  readonly watchers: number;
  readonly slowWatchers: number;
  readonly recentBytes: number;
}

/** Slices of catching up that one tick works off; each reads at most sliceRevisionsMax revisions. */
const SLICES_PER_TICK = 2;

export function createWatchHub(source: WatchSource, options: WatchHubOptions): WatchHub {
  return new Hub(source, options);
}

class Hub implements WatchHub {
  readonly #source: WatchSource;
  readonly #host: StreamHost;
  readonly #feeds = new Map<TenantId, Feed>();
  readonly #recent: RecentChanges;
  /** Streams with catching up to do and room for it, the longest waiting first. */
  readonly #runnable = new Set<Stream>();
  /** Streams to wake once the work in hand is done: their callbacks may call back into the hub. */
  #awake: Stream[] = [];
  #busy = false;
  readonly #onWork: () => void;

  constructor(source: WatchSource, options: WatchHubOptions) {
    const settings = watchSettings(options);
    this.#source = source;
    this.#recent = new RecentChanges(settings.recentBytesMax);
    this.#onWork = settings.onWork;
    this.#host = {
      source,
      settings,
      recent: this.#recent,
      wake: (stream) => this.#wake(stream),
      schedule: (stream) => this.#schedule(stream),
      closed: (stream) => this.#closed(stream),
    };
  }

  publish(changes: readonly AppliedChange[]): void {
    this.#run(() => {
      for (const change of changes) {
        const feed = this.#feeds.get(change.tenant);
        // A feed that began after the change was applied has started behind it.
        if (feed === undefined || change.revision <= feed.published) continue;
        this.#recent.push(change);
        feed.publish(change);
      }
    });
  }

  openStream(tenant: TenantId): WatchStream {
    let feed = this.#feeds.get(tenant);
    if (feed === undefined) {
      const state = this.#source.revisions(tenant);
      if (state === undefined) throw new CofferError("not-found", "there is no such tenant");
      feed = new Feed(tenant, state.revision, this.#host.settings.prng);
      this.#feeds.set(tenant, feed);
    }
    const stream = new Stream(this.#host, feed);
    feed.streams.add(stream);
    return stream;
  }

  tenantDeleted(tenant: TenantId): void {
    const feed = this.#feeds.get(tenant);
    if (feed === undefined) return;
    this.#run(() => {
      for (const stream of feed.streams) stream.end(tenantGone());
    });
  }

  stateReplaced(): void {
    this.#run(() => {
      for (const feed of this.#feeds.values()) {
        const state = this.#source.revisions(feed.tenant);
        if (state === undefined) {
          for (const stream of feed.streams) stream.end(tenantGone());
          continue;
        }
        feed.jump(state.revision);
      }
    });
  }

  tick(now: number): boolean {
    this.#run(() => {
      for (const feed of this.#feeds.values()) {
        for (const stream of feed.streams) if (stream.wantsProgress) stream.notifyIfDue(now);
      }
      for (let slice = 0; slice < SLICES_PER_TICK; slice++) this.#catchUpOne();
    });
    return this.#runnable.size > 0;
  }

  status(): WatchHubStatus {
    let streams = 0;
    let watchers = 0;
    let slowWatchers = 0;
    for (const feed of this.#feeds.values()) {
      streams += feed.streams.size;
      for (const stream of feed.streams) {
        watchers += stream.watcherCount;
        slowWatchers += stream.laggingCount;
      }
    }
    return { streams, watchers, slowWatchers, recentBytes: this.#recent.bytes };
  }

  #catchUpOne(): void {
    const [stream] = this.#runnable;
    if (stream === undefined) return;
    this.#runnable.delete(stream);
    if (stream.canCatchUp) stream.catchUp();
    if (stream.canCatchUp) this.#runnable.add(stream);
  }

  #schedule(stream: Stream): void {
    if (this.#runnable.has(stream)) return;
    this.#runnable.add(stream);
    if (this.#runnable.size === 1) this.#onWork();
  }

  #closed(stream: Stream): void {
    const { feed } = stream;
    this.#runnable.delete(stream);
    feed.streams.delete(stream);
    if (feed.streams.size > 0) return;
    this.#feeds.delete(feed.tenant);
    this.#recent.drop(feed.tenant);
  }

  #wake(stream: Stream): void {
    if (this.#busy) this.#awake.push(stream);
    else stream.onReadable();
  }

  #run(work: () => void): void {
    this.#busy = true;
    try {
      work();
    } finally {
      this.#busy = false;
    }
    const awake = this.#awake;
    this.#awake = [];
    for (const stream of awake) stream.onReadable();
  }
}
