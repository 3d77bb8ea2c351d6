import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { key, type AppliedChange } from "../../src/core/types/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { createWatchHub, type WatchHub, type WatchStream } from "../../src/core/watch/mod.ts";
import { FakeStore, TENANT, type Write } from "./fake-store.ts";
import { ModelStream } from "./model.ts";
import { createRequest } from "./stand.ts";

/** The hub against the model: random clients, writers, slow readers, compaction, late publishing. */

interface World {
  readonly store: FakeStore;
  readonly hub: WatchHub;
  readonly streams: { readonly real: WatchStream; readonly model: ModelStream }[];
  /** Applied, not published yet. */
  unpublished: AppliedChange[];
  now: number;
}

function newWorld(): World {
  const store = new FakeStore();
  const hub = createWatchHub(store, {
    prng: createPrng(3),
    progressIntervalMs: 100,
    streamEventsMax: 6,
    streamBytesMax: 1000,
    sliceRevisionsMax: 3,
    recentBytesMax: 400,
  });
  return { store, hub, streams: [], unpublished: [], now: 0 };
}

function openStream(world: World): void {
  const model = new ModelStream(world.store.history);
  world.streams.push({ real: world.hub.openStream(TENANT), model });
}

function publish(world: World): void {
  world.hub.publish(world.unpublished);
  world.unpublished = [];
}

/** A later state takes the place of this one: its writes are there, and are never published. */
function replaceState(world: World, list: readonly Write[][], back: number | undefined): void {
  const { store } = world;
  for (const one of list) store.write(...one);
  if (back !== undefined) {
    store.compactRevision = Math.max(store.compactRevision, store.revision - back);
  }
  world.unpublished = [];
  world.hub.stateReplaced();
}

function read(stream: World["streams"][number], count: number): number {
  for (let i = 0; i < count; i++) {
    const response = stream.real.next();
    if (response === undefined) return i;
    stream.model.check(response);
  }
  return count;
}

/** Reads and ticks until all is quiet, then asks for what is missing. */
function settle(world: World): void {
  publish(world);
  for (;;) {
    let quiet = !world.hub.tick(world.now);
    for (const stream of world.streams) if (read(stream, Infinity) > 0) quiet = false;
    if (quiet) break;
  }
  for (const { model } of world.streams) model.checkComplete();
}

const NAMES = ["a", "b", "ba", "c", "d"];
const names = fc.constantFrom(...NAMES);
const writes: fc.Arbitrary<Write[]> = fc
  .uniqueArray(fc.tuple(names, fc.constantFrom("1", "22", undefined)), {
    minLength: 1,
    maxLength: 4,
    selector: ([name]) => name,
  })
  .map((list) => list.map(([name, value]) => [name, value] as const));

const creates = fc.record({
  name: names,
  rangeEnd: fc.constantFrom("", "\0", "b", "c", "z"),
  /** Added to the current revision; 1 means "from now" as start 0 does. */
  startOffset: fc.option(fc.integer({ min: -12, max: 4 })),
  noPut: fc.boolean(),
  noDelete: fc.boolean(),
  prevKv: fc.boolean(),
  progressNotify: fc.boolean(),
  watchId: fc.constantFrom(0, 0, 0, 2, 5),
});

type Step = (world: World) => void;

const pick = fc.nat(2);

function streamOf(world: World, at: number): World["streams"][number] | undefined {
  return world.streams[at % Math.max(world.streams.length, 1)];
}

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(openStream) },
  {
    weight: 6,
    arbitrary: fc.tuple(writes, fc.boolean()).map(([list, atOnce]): Step => (world) => {
      const change = world.store.write(...list);
      if (change !== undefined) world.unpublished.push(change);
      if (atOnce) publish(world);
    }),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(pick, creates).map(([at, create]): Step => (world) => {
      const stream = streamOf(world, at);
      if (stream === undefined) return;
      const { name, rangeEnd, startOffset, ...rest } = create;
      // What is applied but not published is still to come.
      const current = world.store.revision - world.unpublished.length;
      const startRevision = startOffset === null ? 0 : Math.max(current + startOffset, 1);
      const request = createRequest(name, { ...rest, rangeEnd: key(rangeEnd), startRevision });
      const empty = rangeEnd !== "" && rangeEnd !== "\0" && rangeEnd <= name;
      const id = stream.real.create(request);
      const expected = empty ? undefined : stream.model.idOf(request);
      if (expected === undefined) {
        assert.equal(id, undefined);
        return;
      }
      const compacted = startRevision !== 0 && startRevision < world.store.compactRevision;
      assert.equal(id, compacted ? undefined : expected);
      stream.model.created(expected, request, current);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(pick, fc.nat(5)).map(([at, id]): Step => (world) => {
      const stream = streamOf(world, at);
      stream?.real.cancel(id);
      stream?.model.cancelled(id);
    }),
  },
  {
    weight: 4,
    arbitrary: pick.map(
      (at): Step =>
        (world) =>
          streamOf(world, at)?.real.progress(),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(pick, fc.nat(4)).map(([at, count]): Step => (world) => {
      const stream = streamOf(world, at);
      if (stream !== undefined) read(stream, count);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.nat(80).map((passed): Step => (world) => {
      world.now += passed;
      world.hub.tick(world.now);
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(4).map((back): Step => (world) => {
      const { store } = world;
      store.compactRevision = Math.max(store.compactRevision, store.revision - back, 0);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.array(writes, { maxLength: 8 }), fc.option(fc.nat(10))).map(
      ([list, back]): Step =>
        (world) =>
          replaceState(world, list, back ?? undefined),
    ),
  },
  { weight: 1, arbitrary: fc.constant(settle) },
);

test("a stream says what the model says, whatever happens", () => {
  fc.assert(
    fc.property(fc.array(steps, { minLength: 5, maxLength: 80 }), (list) => {
      const world = newWorld();
      openStream(world);
      for (const step of list) step(world);
      settle(world);
      const { slowWatchers } = world.hub.status();
      assert.equal(slowWatchers, 0);
    }),
    { numRuns: 4000, includeErrorInReport: true },
  );
});

test("progress every time, with many writers and watches on one stream", () => {
  const world = newWorld();
  openStream(world);
  const [stream] = world.streams;
  assert.ok(stream !== undefined);
  const prng = createPrng(11);
  for (const name of [...NAMES, ...NAMES]) {
    const request = createRequest(name, { rangeEnd: key("\0"), progressNotify: true });
    const id = stream.real.create(request);
    assert.ok(id !== undefined);
    stream.model.created(id, request, world.store.revision - world.unpublished.length);
  }
  let progress = 0;
  for (let round = 0; round < 3000; round++) {
    const change = world.store.write([NAMES[prng.below(NAMES.length)] ?? "a", String(round)]);
    if (change !== undefined) world.unpublished.push(change);
    if (prng.below(2) === 0) publish(world);
    stream.real.progress();
    world.now += 10;
    if (prng.below(4) === 0) world.hub.tick(world.now);
    // A reader that keeps up at times, and falls behind at others.
    const count = round % 200 < 100 ? 30 : prng.below(3);
    for (let i = 0; i < count; i++) {
      const response = stream.real.next();
      if (response === undefined) break;
      if (response.watchId === -1) progress++;
      stream.model.check(response);
    }
  }
  settle(world);
  assert.ok(progress > 100, `only ${progress} progress messages`);
});
