import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { key } from "../../src/core/types/mod.ts";
import type { WatchStream } from "../../src/core/watch/mod.ts";
import { createRequest, drain, showAll, stand } from "./stand.ts";

/** A slow reader costs bounded memory, and loses nothing. */

const everything = { rangeEnd: key("\0") };

describe("a reader that never reads", () => {
  test("holds no more than the limits, however much is written", () => {
    const { hub, open, write } = stand({
      streamBytesMax: 100_000,
      streamEventsMax: 500,
      recentBytesMax: 50_000,
    });
    const stream = open();
    for (let i = 0; i < 10; i++) stream.create(createRequest("", everything));
    const value = "x".repeat(1000);
    for (let i = 0; i < 5_000; i++) {
      write([`key-${i % 10}`, value]);
      hub.tick(i);
      const { bytes, events } = stream.backlog();
      assert.ok(bytes <= 100_000 && events <= 500, `${bytes} bytes, ${events} events`);
      assert.ok(hub.status().recentBytes <= 50_000);
    }
    assert.equal(hub.status().slowWatchers, 10);
    const events = drain(hub, stream).reduce((sum, response) => sum + response.events.length, 0);
    assert.equal(events, 50_000);
    assert.equal(hub.status().slowWatchers, 0);
  });

  test("of one huge change holds that one", () => {
    const { hub, open, write } = stand({ streamBytesMax: 1000 });
    const stream = open();
    stream.create(createRequest("", everything));
    for (let i = 0; i < 20; i++) write(["a", "x".repeat(5000)], ["b", "x".repeat(5000)]);
    assert.equal(stream.backlog().events, 2);
    assert.equal(drain(hub, stream).length, 21);
  });

  test("is cut off when it asks without end", () => {
    const { open } = stand({ streamControlsMax: 100 });
    const stream = open();
    stream.create(createRequest("a"));
    for (let i = 0; i < 1000; i++) stream.progress();
    assert.equal(stream.backlog().controls, 100);
    assert.equal(stream.ended, undefined);
    stream.create(createRequest("a"));
    assert.equal(codeOf(stream), "too-many-requests");
    assert.deepEqual(stream.watches(), []);
  });

  test("and leaves compacted watches uncancelled keeps the ids of the last ones only", () => {
    const { hub, open, write, store } = stand({ compactedIdsMax: 3 });
    for (const value of ["1", "2", "3"]) write(["a", value]);
    store.compactRevision = 3;
    const stream = open();
    for (const watchId of [1, 2, 7, 8, 9]) {
      stream.create(createRequest("a", { watchId, startRevision: 2 }));
    }
    assert.equal(showAll(hub, stream).length, 10);
    for (const watchId of [1, 2, 7, 8, 9]) stream.cancel(watchId);
    const answers = ["#7 @4 canceled", "#8 @4 canceled", "#9 @4 canceled"];
    assert.deepEqual(showAll(hub, stream), answers);
  });

  test("does not hold up the other streams", () => {
    const { hub, open, write } = stand({ streamEventsMax: 4 });
    const slow = open();
    const quick = open();
    for (const stream of [slow, quick]) stream.create(createRequest("a"));
    const seen: number[] = [];
    for (let i = 0; i < 50; i++) {
      write(["a", String(i)]);
      for (const response of drain(hub, quick)) seen.push(response.events.length);
    }
    assert.equal(seen.length, 51);
    assert.equal(hub.status().slowWatchers, 1);
  });
});

describe("catching up", () => {
  test("spares the store while the recent changes hold", () => {
    const { hub, open, write, store } = stand({ streamEventsMax: 4 });
    const streams = Array.from({ length: 10 }, open);
    for (const stream of streams) stream.create(createRequest("a"));
    for (let i = 0; i < 100; i++) write(["a", String(i)]);
    for (const stream of streams) assert.equal(showAll(hub, stream).length > 1, true);
    assert.equal(store.reads, 0);
  });

  test("reads bounded slices and shares ticks among streams", () => {
    const { hub, open, write, store } = stand({ sliceRevisionsMax: 10, recentBytesMax: 0 });
    for (let i = 0; i < 200; i++) write(["noise", String(i)]);
    const streams = Array.from({ length: 4 }, open);
    for (const stream of streams) stream.create(createRequest("a", { startRevision: 1 }));
    const before = store.reads;
    hub.tick(0);
    assert.equal(store.reads - before, 2);
    let ticks = 1;
    while (hub.tick(0)) ticks++;
    assert.ok(ticks >= 39 && ticks <= 45, `${ticks} ticks`);
    assert.equal(hub.status().slowWatchers, 0);
  });

  test("asks for work once, not for each change", () => {
    let asked = 0;
    const { open, write } = stand({ streamEventsMax: 4, onWork: () => asked++ });
    const stream = open();
    stream.create(createRequest("a"));
    for (let i = 0; i < 100; i++) write(["a", String(i)]);
    assert.equal(asked, 0);
    for (let i = 0; i < 4; i++) stream.next();
    assert.equal(asked, 1);
  });
});

function codeOf({ ended }: WatchStream): string | undefined {
  return ended?.code;
}
