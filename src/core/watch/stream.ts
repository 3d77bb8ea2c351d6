import {
  type Key,
  type KeyRange,
  type Revision,
  type WatchCreateRequest,
  type WatchResponse,
  type WatchSource,
  FROM_KEY,
  key,
  keyRange,
  revision,
} from "../types/mod.ts";
import { CofferError, errorRow } from "../../errors.ts";
import type { Feed } from "./feed.ts";
import { fragmentsOf } from "./fragment.ts";
import { Lagging } from "./lagging.ts";
import { FRAGMENT_BYTES, type WatchSettings } from "./options.ts";
import { Outbox } from "./outbox.ts";
import type { RecentChanges } from "./recent-changes.ts";
import { type Watcher, type WatcherOwner, NO_EVENTS, clearPending } from "./watcher.ts";

/** A watch that runs, as policy checks need it. */
export interface ActiveWatch {
  readonly watchId: number;
  readonly range: KeyRange;
  readonly prevKv: boolean;
}

/** What a stream needs of its hub. */
export interface StreamHost {
  readonly source: WatchSource;
  readonly settings: WatchSettings;
  readonly recent: RecentChanges;
  /** Something can be read of the stream, or it ended. */
  wake(stream: Stream): void;
  /** Catching up has work and room: `catchUp` should be called soon. */
  schedule(stream: Stream): void;
  /** The stream is gone, by itself or from outside. */
  closed(stream: Stream): void;
}

/** etcd's id of replies that belong to no watch. */
const NO_WATCH_ID = -1;

const EMPTY_RANGE = "mvcc: watcher range is empty";
const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";

export class Stream implements WatcherOwner {
  onReadable: () => void = () => undefined;
  readonly #host: StreamHost;
  readonly #feed: Feed;
  readonly #outbox: Outbox;
  readonly #lagging: Lagging;
  readonly #watchers = new Map<number, Watcher>();
  /**
   * Ids of watches that compaction ended and the client has not cancelled yet: they stay in use until
   * it does (etcd mvcc/watcher.go). Oldest first; past `compactedIdsMax` the oldest is free again.
   */
  readonly #compacted = new Set<number>();
  /** Watchers that want periodic progress. */
  readonly #notified = new Set<Watcher>();
  /** Watchers whose start was still to come when last looked at. */
  readonly #future = new Set<Watcher>();
  #nextId = 0;
  #progressAt: number | undefined;
  /** The reader was told that nothing waits, and counts on `onReadable`. */
  #waiting = true;
  #ended: CofferError | undefined;
  #open = true;

  constructor(host: StreamHost, feed: Feed) {
    this.#host = host;
    this.#feed = feed;
    this.#outbox = new Outbox(host.settings);
    this.#lagging = new Lagging(host.settings.prng);
  }

  get ended(): CofferError | undefined {
    return this.#ended;
  }

  get feed(): Feed {
    return this.#feed;
  }

  get size(): number {
    return this.#watchers.size;
  }

  watches(): ActiveWatch[] {
    const all = [...this.#watchers.values()];
    return all.map(({ id, range, prevKv }) => ({ watchId: id, range, prevKv }));
  }

  /** What waits unread. */
  backlog(): { readonly bytes: number; readonly events: number; readonly controls: number } {
    return this.#outbox;
  }

  create(request: WatchCreateRequest): number | undefined {
    if (!this.#accepts()) return undefined;
    const { startRevision } = request;
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) {
      this.refuse(refusal);
      return undefined;
    }
    const state = this.#host.source.revisions(this.#feed.tenant);
    if (state === undefined) {
      this.end(tenantGone());
      return undefined;
    }
    const { published } = this.#feed;
    const id = request.watchId === 0 ? this.#drawId() : request.watchId;
    const created = { watchId: id, revision: published, ...EMPTY, created: true };
    this.#outbox.push(created, 0);
    if (startRevision !== 0 && startRevision < state.compactRevision) {
      this.#replyCompacted(id, state.compactRevision);
      return undefined;
    }
    const next = startRevision === 0 ? published + 1 : startRevision;
    this.#add(watcherOf(this, request, { id, next }), request.progressNotify);
    // Last, since whom it wakes may close the stream.
    this.#wake();
    return id;
  }

  refuse(reason: string): void {
    if (!this.#accepts()) return;
    this.#reply({ ...this.#canceled(NO_WATCH_ID, reason), created: true });
  }

  cancel(watchId: number): void {
    if (this.#compacted.delete(watchId)) this.#reply(this.#canceled(watchId, ""));
    else this.cancelWith(watchId, "");
  }

  cancelWith(watchId: number, reason: string): void {
    const watcher = this.#watchers.get(watchId);
    if (watcher === undefined) return;
    this.#remove(watcher);
    this.#reply(this.#canceled(watchId, reason));
  }

  progress(): void {
    if (this.#watchers.size === 0 || this.#lagging.size > 0 || this.#compacted.size > 0) return;
    for (const watcher of this.#future) {
      if (this.#isFuture(watcher)) return;
      this.#future.delete(watcher);
    }
    this.#notify(NO_WATCH_ID);
  }

  next(): WatchResponse | undefined {
    this.#waiting = false;
    let response = this.#outbox.shift();
    if (response === undefined && this.#lagging.size > 0) {
      this.catchUp();
      response = this.#outbox.shift();
    }
    this.#scheduleIfUseful();
    if (response === undefined) this.#waiting = true;
    return response;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const watcher of this.#watchers.values()) this.#remove(watcher);
    this.#compacted.clear();
    this.#outbox.clear();
    this.#host.closed(this);
  }

  /** Ends the stream from this side; what was not read yet is dropped. */
  end(error: CofferError): void {
    if (!this.#open) return;
    this.#ended = error;
    this.close();
    this.#wake();
  }

  /** From `Feed.publish`: queues the events, or leaves them to catching up if they do not fit. */
  deliver(watcher: Watcher, at: Revision): void {
    if (!this.#outbox.fits(watcher.pendingBytes, watcher.pending.length)) {
      clearPending(watcher);
      watcher.next = at;
      this.#feed.synced.delete(watcher);
      watcher.synced = false;
      this.#lagging.add(watcher);
      this.#scheduleIfUseful();
      return;
    }
    this.#pushEvents(watcher, at);
  }

  /** What comes after revision `published` has to be read, as it was not published. */
  fallBehind(published: Revision): void {
    for (const watcher of this.#watchers.values()) {
      if (!watcher.synced) continue;
      watcher.next = Math.max(watcher.next, published + 1);
      if (watcher.next > this.#feed.published) continue;
      this.#feed.synced.delete(watcher);
      watcher.synced = false;
      this.#lagging.add(watcher);
    }
    this.#scheduleIfUseful();
  }

  /** One slice: reads changes for the watchers that lag, as far as the outbox has room. */
  catchUp(): void {
    const { source, recent, settings } = this.#host;
    const { tenant, published } = this.#feed;
    const state = source.revisions(tenant);
    if (state === undefined) return this.end(tenantGone());
    // A full disk took back what was published: until that is applied again, the store lacks it.
    if (state.revision < published) return;
    for (const watcher of this.#lagging.below(state.compactRevision)) {
      this.#remove(watcher);
      this.#replyCompacted(watcher.id, state.compactRevision);
    }
    if (this.#lagging.size === 0 || !this.#outbox.holds(0, 1)) return;
    const from = this.#lagging.nextRevision();
    const limits = [settings.sliceRevisionsMax, settings.streamBytesMax] as const;
    const changes =
      recent.slice(tenant, from, ...limits) ?? source.changes(tenant, from, ...limits);
    const { hits, covered } = this.#lagging.offerSlice(changes, published, this.#outbox);
    for (const watcher of hits) this.#pushEvents(watcher, published);
    for (const watcher of this.#lagging.below(covered + 1)) {
      watcher.next = covered + 1;
      if (covered >= published) this.#sync(watcher);
    }
  }

  get canCatchUp(): boolean {
    return this.#open && this.#lagging.size > 0 && this.#outbox.isLow;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  get laggingCount(): number {
    return this.#lagging.size;
  }

  get wantsProgress(): boolean {
    return this.#notified.size > 0;
  }

  /** Periodic progress, as the time `now` in milliseconds makes it due. */
  notifyIfDue(now: number): void {
    const { prng, progressIntervalMs } = this.#host.settings;
    const due = this.#progressAt !== undefined && now >= this.#progressAt;
    if (this.#progressAt === undefined || due) {
      this.#progressAt = now + progressIntervalMs * (1 + prng.next() / 10);
    }
    if (!due) return;
    for (const watcher of this.#notified) {
      const quiet = !watcher.eventsSinceProgress;
      watcher.eventsSinceProgress = false;
      if (!quiet || !watcher.synced || this.#isFuture(watcher)) continue;
      this.#notify(watcher.id);
    }
  }

  #refusalOf(request: WatchCreateRequest): string | undefined {
    if (request.startRevision < 0) return errorRow("compacted").text;
    const { rangeEnd } = request;
    const bounded = rangeEnd !== "" && rangeEnd !== FROM_KEY;
    if (bounded && rangeEnd <= watchKey(request)) return EMPTY_RANGE;
    const taken = request.watchId !== 0 && this.#isTaken(request.watchId);
    return taken ? DUPLICATE_ID : undefined;
  }

  #drawId(): number {
    while (this.#isTaken(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #isTaken(id: number): boolean {
    return this.#watchers.has(id) || this.#compacted.has(id);
  }

  #add(watcher: Watcher, notify: boolean): void {
    const { published } = this.#feed;
    this.#watchers.set(watcher.id, watcher);
    if (notify) this.#notified.add(watcher);
    if (watcher.startRevision > published) this.#future.add(watcher);
    if (watcher.next > published) {
      watcher.synced = true;
      this.#feed.synced.add(watcher);
    } else {
      this.#lagging.add(watcher);
      this.#scheduleIfUseful();
    }
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher.id);
    this.#notified.delete(watcher);
    this.#future.delete(watcher);
    if (watcher.synced) this.#feed.synced.delete(watcher);
    else this.#lagging.delete(watcher);
  }

  #sync(watcher: Watcher): void {
    this.#lagging.delete(watcher);
    watcher.synced = true;
    this.#feed.synced.add(watcher);
  }

  /**
   * Whether the revisions below its start have not all been published, so that progress now would
   * take the client back before the start it asked for (fixed in etcd 3.6.2).
   */
  #isFuture(watcher: Watcher): boolean {
    return watcher.startRevision > this.#feed.published + 1;
  }

  /** A client that asks without reading the answers is cut off, as its answers are kept in memory. */
  #accepts(): boolean {
    const { streamControlsMax } = this.#host.settings;
    if (!this.#open) return false;
    if (this.#outbox.controls < streamControlsMax) return true;
    const detail = `${streamControlsMax} replies of this watch stream are unread; read them first`;
    this.end(new CofferError("too-many-requests", detail));
    return false;
  }

  #pushEvents(watcher: Watcher, at: Revision): void {
    const { pending: events, pendingBytes } = watcher;
    clearPending(watcher);
    watcher.eventsSinceProgress = true;
    const { id: watchId } = watcher;
    if (!watcher.fragment || events.length < 2 || pendingBytes < FRAGMENT_BYTES) {
      this.#push({ watchId, revision: at, ...EMPTY, events }, pendingBytes);
      return;
    }
    const parts = fragmentsOf(events);
    for (const [place, part] of parts.entries()) {
      const response = { watchId, revision: at, ...EMPTY, events: part.events };
      this.#push({ ...response, fragment: place < parts.length - 1 }, part.bytes);
    }
  }

  #notify(watchId: number): void {
    if (this.#outbox.controls >= this.#host.settings.streamControlsMax) return;
    this.#reply({ watchId, revision: this.#feed.published });
  }

  #canceled(watchId: number, cancelReason: string): Reply {
    return { watchId, revision: this.#feed.published, canceled: true, cancelReason };
  }

  /** etcd leaves header.revision at 0 here, and gives no reason but the revision. */
  #replyCompacted(watchId: number, compactRevision: number): void {
    this.#compacted.add(watchId);
    const [oldest] = this.#compacted;
    const { compactedIdsMax } = this.#host.settings;
    if (this.#compacted.size > compactedIdsMax && oldest !== undefined) {
      this.#compacted.delete(oldest);
    }
    this.#reply({ watchId, revision: revision(0), canceled: true, compactRevision });
  }

  #reply(reply: Reply): void {
    this.#push({ ...EMPTY, ...reply }, 0);
  }

  #push(response: WatchResponse, bytes: number): void {
    if (!this.#open) return;
    this.#outbox.push(response, bytes);
    this.#wake();
  }

  #wake(): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#host.wake(this);
  }

  #scheduleIfUseful(): void {
    if (this.canCatchUp) this.#host.schedule(this);
  }
}

type Reply = Pick<WatchResponse, "watchId" | "revision"> & Partial<WatchResponse>;

/** Spread behind what it lacks: V8 takes 2 us for a literal that adds fields to a spread one. */
const EMPTY = {
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: "",
  fragment: false,
  events: NO_EVENTS,
} as const;

/** An empty key means the lowest one there is (etcd v3rpc/watch.go). */
function watchKey(request: WatchCreateRequest): Key {
  return request.key === "" ? key("\0") : request.key;
}

function watcherOf(
  owner: WatcherOwner,
  request: WatchCreateRequest,
  at: { readonly id: number; readonly next: number },
): Watcher {
  return {
    owner,
    id: at.id,
    range: keyRange(watchKey(request), request.rangeEnd),
    wantsPuts: !request.noPut,
    wantsDeletes: !request.noDelete,
    prevKv: request.prevKv,
    fragment: request.fragment,
    startRevision: request.startRevision,
    next: at.next,
    synced: false,
    eventsSinceProgress: false,
    pending: NO_EVENTS,
    pendingBytes: 0,
  };
}

export function tenantGone(): CofferError {
  return new CofferError("not-found", "the tenant of this watch stream was deleted");
}
