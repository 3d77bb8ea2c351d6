import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { key } from "../../src/core/types/mod.ts";
import { createRequest, drain, show, showAll, stand } from "./stand.ts";

/** A snapshot put a later state under the watches: what happened in between was never published. */

const all = { rangeEnd: key("\0") };

describe("after the state was replaced", () => {
  test("a watch that kept up is given what it missed, once, and then what comes", () => {
    const { hub, store, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a", all));
    write(["a", "1"]);
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created", "#0 @2 a=1@2"]);
    store.put("b", "2");
    store.write(["a", undefined]);
    hub.stateReplaced();
    write(["a", "4"]);
    assert.deepEqual(showAll(hub, stream), ["#0 @5 b=2@3 a gone@4 a=4@5"]);
    assert.equal(hub.status().slowWatchers, 0);
  });

  test("what a reader has not taken yet comes first", () => {
    const { hub, store, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    write(["a", "1"]);
    store.put("a", "2");
    hub.stateReplaced();
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created", "#0 @2 a=1@2", "#0 @3 a=2@3"]);
  });

  test("changes of before that are published late are not given again", () => {
    const { hub, store, open } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    const late = store.put("a", "1");
    hub.stateReplaced();
    hub.publish([late]);
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created", "#0 @2 a=1@2"]);
  });

  test("recent changes kept in memory are not taken across the gap", () => {
    const { hub, store, open, write } = stand({ streamEventsMax: 2 });
    const stream = open();
    stream.create(createRequest("a"));
    // Four changes for an outbox of two: the watch lags, fed from memory.
    for (const value of ["1", "2", "3", "4"]) write(["a", value]);
    store.put("a", "5");
    hub.stateReplaced();
    write(["a", "6"]);
    const given = drain(hub, stream).flatMap(({ events }) => events);
    assert.deepEqual(
      given.map(({ kv }) => kv.modRevision),
      [2, 3, 4, 5, 6, 7],
    );
  });

  test("a watch whose next revision is compacted is cancelled with that revision", () => {
    const { hub, store, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    stream.create(createRequest("a", { startRevision: 5 }));
    write(["a", "1"]);
    for (let i = 0; i < 4; i++) store.put("a", String(i));
    store.compactRevision = 5;
    hub.stateReplaced();
    write(["b", "1"]);
    assert.deepEqual(showAll(hub, stream), [
      "#0 @1 created",
      "#1 @1 created",
      "#0 @2 a=1@2",
      "#0 @0 canceled compact=5",
      "#1 @7 a=2@5 a=3@6",
    ]);
  });

  test("the compacted revision itself is still given", () => {
    const { hub, store, open } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    store.put("a", "1");
    store.compactRevision = 2;
    hub.stateReplaced();
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created", "#0 @2 a=1@2"]);
  });

  test("progress waits until all has been given", () => {
    const { hub, store, open } = stand({ progressIntervalMs: 100 });
    const stream = open();
    stream.create(createRequest("a", { progressNotify: true }));
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created"]);
    store.put("a", "1");
    hub.stateReplaced();
    stream.progress();
    assert.equal(stream.backlog().controls, 0);
    assert.deepEqual(showAll(hub, stream), ["#0 @2 a=1@2"]);
    stream.progress();
    assert.deepEqual(showAll(hub, stream), ["#-1 @2"]);
  });

  test("a watch of the future stays there, and one whose start has come catches up", () => {
    const { hub, store, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a", { startRevision: 3 }));
    stream.create(createRequest("a", { startRevision: 6 }));
    for (const value of ["2", "3", "4"]) store.put("a", value);
    hub.stateReplaced();
    assert.deepEqual(showAll(hub, stream).slice(2), ["#0 @4 a=3@3 a=4@4"]);
    stream.progress();
    assert.equal(stream.next(), undefined);
    write(["a", "5"]);
    write(["a", "6"]);
    const later = showAll(hub, stream).sort();
    assert.deepEqual(later, ["#0 @5 a=5@5", "#0 @6 a=6@6", "#1 @6 a=6@6"]);
  });

  test("a reader that waits is woken, as there is something to read", () => {
    const { hub, store, open } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    assert.equal(drain(hub, stream).length, 1);
    let woken = 0;
    stream.onReadable = () => void woken++;
    store.put("a", "1");
    hub.stateReplaced();
    while (hub.tick(0));
    assert.equal(woken, 1);
    assert.deepEqual(drain(hub, stream).map(show), ["#0 @2 a=1@2"]);
  });

  test("streams of a tenant that is gone end, and say why", () => {
    const { hub, store, open } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    let woken = 0;
    stream.onReadable = () => void woken++;
    assert.equal(drain(hub, stream).length, 1);
    store.exists = false;
    hub.stateReplaced();
    assert.equal(stream.ended?.code, "not-found");
    assert.equal(woken, 1);
    assert.equal(stream.next(), undefined);
    assert.deepEqual(hub.status(), { streams: 0, watchers: 0, slowWatchers: 0, recentBytes: 0 });
  });

  test("a state of an earlier revision is a bug", () => {
    const { hub, store, open, write } = stand();
    open();
    write(["a", "1"]);
    store.history.pop();
    assert.throws(() => hub.stateReplaced(), /went back/);
  });
});
