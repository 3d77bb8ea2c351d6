import assert from "node:assert/strict";
import {
  keyRange,
  rangeHas,
  type AppliedChange,
  type WatchCreateRequest,
  type WatchEvent,
  type WatchResponse,
} from "../../src/core/types/mod.ts";

/**
 * What a watch stream must say, by the plainest means: each watcher looks at every change there ever
 * was. It judges what a stream says, response by response, and at the end whether all was said.
 */
export class ModelStream {
  readonly #history: readonly AppliedChange[];
  /** By id: the watch whose responses come next, then those that took the id after it. */
  readonly #watchers = new Map<number, ModelWatcher[]>();
  /** Ids in use: from a watch's creation until the client cancels it, whatever ends it before. */
  readonly #taken = new Set<number>();
  #nextId = 0;

  constructor(history: readonly AppliedChange[]) {
    this.#history = history;
  }

  /** The id of the watch that is created now; undefined if the one it asks for is in use. */
  idOf(request: WatchCreateRequest): number | undefined {
    if (request.watchId !== 0) {
      return this.#taken.has(request.watchId) ? undefined : request.watchId;
    }
    while (this.#taken.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  /** A watch was created while the store was at `current`. */
  created(id: number, request: WatchCreateRequest, current: number): void {
    const from = request.startRevision === 0 ? current + 1 : request.startRevision;
    const state = { announced: false, compacted: false, cancelled: false };
    const watcher = { id, request, from, given: 0, promised: 0, ...state };
    this.#taken.add(id);
    this.#watchers.set(id, [...(this.#watchers.get(id) ?? []), watcher]);
  }

  /** The client cancels the watch that has the id now, if one has. */
  cancelled(id: number): void {
    if (!this.#taken.delete(id)) return;
    const watcher = this.#watchers.get(id)?.at(-1);
    assert.ok(watcher !== undefined);
    watcher.cancelled = true;
  }

  /** Judges the next response of the stream. */
  check(response: WatchResponse): void {
    if (response.watchId === -1 && response.created) {
      assert.ok(response.canceled && response.cancelReason !== "", "a refusal says why");
      return;
    }
    if (response.watchId === -1) {
      const ended = [...this.#watchers.values()].some(([watcher]) => watcher?.compacted);
      assert.ok(!ended, "no progress while a compacted watch waits for its cancel");
      this.#checkProgress(response, this.#announced());
      return;
    }
    const [watcher, ...later] = this.#watchers.get(response.watchId) ?? [];
    assert.ok(watcher !== undefined, `Response of watch ${response.watchId}, which is not there`);
    assert.equal(response.created, !watcher.announced, "created is the first response, once");
    watcher.announced = true;
    if (response.compactRevision !== 0) {
      checkCompacted(response, watcher);
      watcher.compacted = true;
    } else if (response.canceled) {
      assert.ok(watcher.cancelled, "only the client cancels");
      this.#watchers.set(response.watchId, later);
    } else if (watcher.compacted) {
      assert.fail("a compacted watch says nothing but that it is cancelled");
    } else if (response.events.length > 0) {
      this.#checkEvents(response, watcher);
    } else if (!response.created) {
      assert.ok(watcher.request.progressNotify, "progress only to those who asked");
      this.#checkProgress(response, [watcher]);
    }
  }

  /** Judges that nothing is missing, once the stream has nothing more to say. */
  checkComplete(): void {
    for (const watcher of this.#announced()) {
      assert.ok(!watcher.cancelled, "each cancel is answered");
      if (watcher.compacted) continue;
      assert.equal(watcher.given, this.#due(watcher, Infinity).length, "all events were given");
    }
  }

  #announced(): ModelWatcher[] {
    const first = [...this.#watchers.values()].flatMap(([watcher]) => watcher ?? []);
    return first.filter(({ announced }) => announced);
  }

  #checkEvents(response: WatchResponse, watcher: ModelWatcher): void {
    const due = this.#due(watcher, Infinity);
    const expected = due.slice(watcher.given, watcher.given + response.events.length);
    assert.deepEqual(response.events, expected, "events come in order, none left out, none twice");
    const first = response.events[0]?.kv.modRevision ?? 0;
    const last = response.events.at(-1)?.kv.modRevision ?? 0;
    assert.ok(first > watcher.promised, "no event at or before a progress revision after it");
    assert.ok(response.revision >= last, "the header is not behind the events");
    watcher.given += response.events.length;
    const next = due[watcher.given];
    assert.notEqual(next?.kv.modRevision, last, "a revision is never split");
  }

  #checkProgress(response: WatchResponse, watchers: readonly ModelWatcher[]): void {
    assert.equal(response.events.length, 0);
    for (const watcher of watchers) {
      const due = this.#due(watcher, response.revision);
      assert.equal(watcher.given, due.length, "progress comes after all events up to it");
      assert.ok(response.revision + 1 >= watcher.request.startRevision, "no progress before start");
      watcher.promised = response.revision;
    }
  }

  /** Every event up to `revision` that the watcher wants, by a scan of all history. */
  #due(watcher: ModelWatcher, revision: number): WatchEvent[] {
    const { request, from } = watcher;
    const range = keyRange(request.key, request.rangeEnd);
    const due: WatchEvent[] = [];
    for (const change of this.#history) {
      if (change.revision < from || change.revision > revision) continue;
      for (const event of change.events) {
        if (!rangeHas(range, event.kv.key)) continue;
        if (event.type === "put" ? request.noPut : request.noDelete) continue;
        due.push(request.prevKv ? event : { ...event, prevKv: undefined });
      }
    }
    return due;
  }
}

interface ModelWatcher {
  readonly id: number;
  readonly request: WatchCreateRequest;
  readonly from: number;
  /** How many events it was given. */
  given: number;
  announced: boolean;
  /** It was told that compaction ended it. */
  compacted: boolean;
  /** The client has asked for its end. */
  cancelled: boolean;
  /** Progress revision that it was told. */
  promised: number;
}

/** Only a watcher that was owed something older than the compacted revision may be given up. */
function checkCompacted(response: WatchResponse, watcher: ModelWatcher): void {
  assert.ok(response.canceled && !watcher.compacted, "compaction ends a watch once");
  assert.equal(response.revision, 0);
  assert.ok(watcher.from < response.compactRevision);
  assert.ok(watcher.promised < response.compactRevision);
}
