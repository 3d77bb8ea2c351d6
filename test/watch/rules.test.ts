import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { key } from "../../src/core/types/mod.ts";
import { CofferError } from "../../src/errors.ts";
import { createRequest, showAll, stand } from "./stand.ts";

/** Each rule of etcd's watch (etcd-wire.md 2.8) as an example. */

const all = { rangeEnd: key("\0") };
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";

describe("creating a watch", () => {
  test("answers created at the current revision, then gives what comes after", () => {
    const { hub, open, write } = stand();
    write(["a", "0"]);
    const stream = open();
    stream.create(createRequest("a"));
    write(["a", "1"]);
    write(["b", "1"]);
    write(["a", undefined]);
    assert.deepEqual(showAll(hub, stream), ["#0 @2 created", "#0 @3 a=1@3", "#0 @5 a gone@5"]);
  });

  test("an empty key is the lowest one, and with an open end means all keys", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("", all));
    stream.create(createRequest(""));
    write(["\0", "low"]);
    write(["z", "high"]);
    assert.deepEqual(showAll(hub, stream).slice(2), [
      "#1 @2 \0=low@2",
      "#0 @2 \0=low@2",
      "#0 @3 z=high@3",
    ]);
  });

  test("draws ids from 0 up and skips those in use", () => {
    const { open } = stand();
    const stream = open();
    const ids = [0, 1, 0, 7, 0].map((watchId) => stream.create(createRequest("a", { watchId })));
    assert.deepEqual(ids, [0, 1, 2, 7, 3]);
  });

  test("refuses an id in use, and takes it again once it is free", () => {
    const { hub, open } = stand();
    const stream = open();
    stream.create(createRequest("a", { watchId: 5 }));
    assert.equal(stream.create(createRequest("b", { watchId: 5 })), undefined);
    stream.cancel(5);
    assert.equal(stream.create(createRequest("b", { watchId: 5 })), 5);
    assert.deepEqual(showAll(hub, stream), [
      "#5 @1 created",
      '#-1 @1 created canceled "mvcc: duplicate watch ID provided on the WatchStream"',
      "#5 @1 canceled",
      "#5 @1 created",
    ]);
  });

  test("refuses an empty range", () => {
    const { hub, open } = stand();
    const stream = open();
    const refused = '#-1 @1 created canceled "mvcc: watcher range is empty"';
    stream.create(createRequest("b", { rangeEnd: key("a") }));
    stream.create(createRequest("b", { rangeEnd: key("b") }));
    assert.deepEqual(showAll(hub, stream), [refused, refused]);
  });

  test("refuses a negative start", () => {
    const { hub, open } = stand();
    const stream = open();
    stream.create(createRequest("a", { startRevision: -1 }));
    assert.deepEqual(showAll(hub, stream), [`#-1 @1 created canceled "${COMPACTED}"`]);
  });

  test("passes on the edge's refusal, in order, and stays usable", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    stream.refuse("rpc error: code = PermissionDenied desc = etcdserver: permission denied");
    write(["a", "1"]);
    assert.deepEqual(showAll(hub, stream), [
      "#0 @1 created",
      "#-1 @1 created canceled " +
        '"rpc error: code = PermissionDenied desc = etcdserver: permission denied"',
      "#0 @2 a=1@2",
    ]);
  });
});

describe("start revisions", () => {
  test("a past one replays, with the current revision in the header", () => {
    const { hub, open, write } = stand();
    for (const value of ["1", "2", "3"]) write(["a", value], ["b", value]);
    const stream = open();
    stream.create(createRequest("a", { startRevision: 3 }));
    const replay = ["#0 @4 created", "#0 @4 a=2@3 a=3@4"];
    assert.deepEqual(showAll(hub, stream), replay);
    write(["a", "4"]);
    assert.deepEqual(showAll(hub, stream), ["#0 @5 a=4@5"]);
  });

  test("one below the compacted is created, then canceled with the compacted revision", () => {
    const { hub, open, write, store } = stand();
    for (const value of ["1", "2", "3"]) write(["a", value]);
    store.compactRevision = 3;
    const stream = open();
    assert.equal(stream.create(createRequest("a", { startRevision: 2 })), undefined);
    assert.deepEqual(showAll(hub, stream), ["#0 @4 created", "#0 @0 canceled compact=3"]);
    stream.create(createRequest("a", { startRevision: 3 }));
    assert.deepEqual(showAll(hub, stream), ["#1 @4 created", "#1 @4 a=2@3 a=3@4"]);
  });

  test("a future one gives no event and no progress before it", () => {
    const { hub, open, write } = stand({ progressIntervalMs: 100 });
    const stream = open();
    hub.tick(0);
    stream.create(createRequest("a", { startRevision: 4, progressNotify: true }));
    hub.tick(1);
    write(["a", "1"]);
    stream.progress();
    hub.tick(200);
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created"]);
    write(["a", "2"]);
    stream.progress();
    write(["a", "3"]);
    assert.deepEqual(showAll(hub, stream), ["#-1 @3", "#0 @4 a=3@4"]);
  });

  test("a change that is applied but not published yet is still to come, for all", () => {
    const { hub, open, store } = stand();
    const early = open();
    early.create(createRequest("a"));
    const change = store.put("a");
    const late = open();
    late.create(createRequest("a"));
    late.create(createRequest("a", { startRevision: 2 }));
    late.progress();
    assert.deepEqual(showAll(hub, late), ["#0 @1 created", "#1 @1 created", "#-1 @1"]);
    hub.publish([change]);
    assert.deepEqual(showAll(hub, late), ["#0 @2 a=v@2", "#1 @2 a=v@2"]);
    assert.deepEqual(showAll(hub, early), ["#0 @1 created", "#0 @2 a=v@2"]);
  });
});

describe("the first stream of a tenant", () => {
  test("begins at what is applied, though it is published only later", () => {
    const { hub, open, store } = stand();
    const change = store.put("a");
    const stream = open();
    stream.create(createRequest("a"));
    hub.publish([change]);
    stream.progress();
    const next = store.put("a");
    hub.publish([change, next]);
    hub.publish([change]);
    stream.progress();
    assert.deepEqual(showAll(hub, stream), ["#0 @2 created", "#-1 @2", "#0 @3 a=v@3", "#-1 @3"]);
  });
});

describe("what events carry", () => {
  test("filters leave out puts or deletes, and a response left empty is not sent", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a", { ...all, noPut: true }));
    stream.create(createRequest("a", { ...all, noDelete: true }));
    write(["a", "1"], ["b", "1"]);
    write(["a", undefined], ["b", "2"]);
    assert.deepEqual(showAll(hub, stream).slice(2), [
      "#1 @2 a=1@2 b=1@2",
      "#0 @3 a gone@3",
      "#1 @3 b=2@3",
    ]);
  });

  test("prev_kv is given to those who asked, live and replayed", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a", { prevKv: true }));
    stream.create(createRequest("a"));
    write(["a", "1"]);
    write(["a", "2"]);
    write(["a", undefined]);
    stream.create(createRequest("a", { prevKv: true, startRevision: 2 }));
    const [, , ...rest] = showAll(hub, stream);
    assert.deepEqual(rest, [
      "#0 @2 a=1@2",
      "#1 @2 a=1@2",
      "#0 @3 a=2<1@3",
      "#1 @3 a=2@3",
      "#0 @4 a gone<2@4",
      "#1 @4 a gone@4",
      "#2 @4 created",
      "#2 @4 a=1@2 a=2<1@3 a gone<2@4",
    ]);
  });

  test("watchers share an event, they do not copy it", () => {
    const { open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    stream.create(createRequest("a", all));
    stream.create(createRequest("a", { prevKv: true }));
    stream.create(createRequest("a", { ...all, prevKv: true }));
    for (let i = 0; i < 4; i++) stream.next();
    write(["a", "1"]);
    write(["a", "2"]);
    const events = Array.from({ length: 8 }, () => stream.next()).map((one) => one?.events[0]);
    assert.equal(new Set(events).size, 3);
  });

  test("fragments only if asked, split below 2 MiB, all but the last marked", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a", { ...all, fragment: true }));
    stream.create(createRequest("a", all));
    const mib = "x".repeat(1024 * 1024);
    write(["a", mib], ["b", mib], ["c", "small"]);
    assert.deepEqual(showAll(hub, stream).slice(2), [
      "#0 @2 fragment a=1048576B@2",
      "#0 @2 b=1048576B@2 c=small@2",
      "#1 @2 a=1048576B@2 b=1048576B@2 c=small@2",
    ]);
    write(["a", "x".repeat(3 * 1024 * 1024)]);
    assert.equal(showAll(hub, stream)[0], "#0 @3 a=3145728B@3");
  });
});

describe("progress", () => {
  test("on request: one message for the stream, only if all watchers are synced", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.progress();
    assert.deepEqual(showAll(hub, stream), []);
    stream.create(createRequest("a"));
    stream.create(createRequest("b"));
    write(["a", "1"]);
    stream.progress();
    assert.deepEqual(showAll(hub, stream).slice(2), ["#0 @2 a=1@2", "#-1 @2"]);
    stream.create(createRequest("a", { startRevision: 1 }));
    stream.progress();
    assert.deepEqual(showAll(hub, stream), ["#2 @2 created", "#2 @2 a=1@2"]);
    stream.progress();
    assert.deepEqual(showAll(hub, stream), ["#-1 @2"]);
  });

  test("by time: to the watchers that asked, skipped after events, at most 10 % late", () => {
    const { hub, open, write } = stand({ progressIntervalMs: 1000 });
    const stream = open();
    stream.create(createRequest("a", { progressNotify: true }));
    stream.create(createRequest("b", { progressNotify: true }));
    stream.create(createRequest("a"));
    hub.tick(0);
    write(["a", "1"]);
    hub.tick(999);
    const read = (): string[] => {
      const lines = [];
      for (let one = stream.next(); one !== undefined; one = stream.next()) {
        lines.push(`#${one.watchId} @${one.revision} ${one.events.length}`);
      }
      return lines;
    };
    assert.deepEqual(read().slice(3), ["#0 @2 1", "#2 @2 1"]);
    hub.tick(1100);
    assert.deepEqual(read(), ["#1 @2 0"]);
    hub.tick(2201);
    assert.deepEqual(read(), ["#0 @2 0", "#1 @2 0"]);
  });
});

describe("the end of a watch", () => {
  test("cancel answers once, unknown ids are ignored", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    stream.cancel(3);
    stream.cancel(0);
    stream.cancel(0);
    write(["a", "1"]);
    assert.deepEqual(showAll(hub, stream), ["#0 @1 created", "#0 @1 canceled"]);
  });

  test("the edge cancels with a reason", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    write(["a", "1"]);
    assert.deepEqual(
      stream.watches().map(({ watchId, range }) => [watchId, range.lo]),
      [[0, "a"]],
    );
    stream.cancelWith(0, "etcdserver: permission denied");
    assert.deepEqual(stream.watches(), []);
    assert.deepEqual(showAll(hub, stream), [
      "#0 @1 created",
      "#0 @2 a=1@2",
      '#0 @2 canceled "etcdserver: permission denied"',
    ]);
  });

  test("by compaction keeps the id in use until the client cancels it", () => {
    const { hub, open, write, store } = stand();
    for (const value of ["1", "2", "3"]) write(["a", value]);
    store.compactRevision = 3;
    const stream = open();
    const create = (watchId: number, startRevision = 0): number | undefined =>
      stream.create(createRequest("a", { watchId, startRevision }));
    create(1, 2);
    assert.deepEqual([create(0), create(0)], [0, 2], "draws pass over it");
    assert.equal(create(1), undefined);
    stream.progress();
    stream.cancel(1);
    stream.cancel(1);
    stream.progress();
    assert.equal(create(1), 1);
    write(["a", "4"]);
    assert.deepEqual(showAll(hub, stream), [
      "#1 @4 created",
      "#1 @0 canceled compact=3",
      "#0 @4 created",
      "#2 @4 created",
      '#-1 @4 created canceled "mvcc: duplicate watch ID provided on the WatchStream"',
      "#1 @4 canceled",
      "#-1 @4",
      "#1 @4 created",
      "#0 @5 a=4@5",
      "#2 @5 a=4@5",
      "#1 @5 a=4@5",
    ]);
  });

  test("compaction overtakes a slow watcher and cancels it; synced ones stay", () => {
    const { hub, open, write, store } = stand({ streamEventsMax: 2, recentBytesMax: 0 });
    const stream = open();
    stream.create(createRequest("a"));
    stream.create(createRequest("b"));
    for (const value of ["1", "2", "3", "4"]) write(["a", value]);
    store.compactRevision = 5;
    assert.deepEqual(showAll(hub, stream), [
      "#0 @1 created",
      "#1 @1 created",
      "#0 @2 a=1@2",
      "#0 @3 a=2@3",
      "#0 @0 canceled compact=5",
    ]);
    write(["b", "1"]);
    assert.deepEqual(showAll(hub, stream), ["#1 @6 b=1@6"]);
    assert.equal(stream.create(createRequest("a", { watchId: 0 })), 2);
    stream.cancel(0);
    assert.deepEqual(showAll(hub, stream), ["#2 @6 created", "#0 @6 canceled"]);
  });

  test("deleting the tenant ends its streams and drops what was not read", () => {
    const { hub, open, write, store } = stand();
    const stream = open();
    let woken = 0;
    stream.create(createRequest("a"));
    assert.notEqual(stream.next(), undefined);
    assert.equal(stream.next(), undefined);
    stream.onReadable = () => woken++;
    write(["a", "1"]);
    store.exists = false;
    hub.tenantDeleted(store.tenant);
    assert.equal(woken, 1);
    assert.equal(stream.ended?.code, "not-found");
    assert.equal(stream.next(), undefined);
    assert.throws(() => open(), CofferError);
    assert.deepEqual(hub.status(), { streams: 0, watchers: 0, slowWatchers: 0, recentBytes: 0 });
  });

  test("a closed stream is forgotten", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    stream.close();
    stream.close();
    write(["a", "1"]);
    assert.equal(stream.next(), undefined);
    assert.equal(stream.create(createRequest("a")), undefined);
    assert.equal(hub.status().streams, 0);
  });
});

describe("waking the reader", () => {
  test("once for each time that nothing waited, after the work is done", () => {
    const { hub, open, write } = stand();
    const stream = open();
    const seen: (number | undefined)[] = [];
    stream.onReadable = () => {
      for (let one = stream.next(); one !== undefined; one = stream.next()) seen.push(one.revision);
    };
    stream.create(createRequest("a"));
    write(["a", "1"]);
    hub.publish([]);
    write(["b", "1"]);
    write(["a", "2"]);
    assert.deepEqual(seen, [1, 2, 4]);
  });

  test("not amid a batch: a reader sees all that was published together", () => {
    const { hub, open, store } = stand();
    const stream = open();
    stream.create(createRequest("a"));
    while (stream.next() !== undefined);
    const seen: number[] = [];
    stream.onReadable = () => {
      stream.progress();
      for (let one = stream.next(); one !== undefined; one = stream.next()) seen.push(one.revision);
    };
    hub.publish([store.put("a"), store.put("a")]);
    assert.deepEqual(seen, [2, 3, 3]);
  });

  test("a reader may close its stream when woken", () => {
    const { hub, open, write } = stand();
    const stream = open();
    stream.onReadable = () => stream.close();
    assert.equal(stream.create(createRequest("a")), 0);
    write(["a", "1"]);
    assert.deepEqual(hub.status(), { streams: 0, watchers: 0, slowWatchers: 0, recentBytes: 0 });
  });

  test("catching up that finds nothing yet asks for ticks until it does", () => {
    let asked = 0;
    const { hub, open, write } = stand({ sliceRevisionsMax: 10, onWork: () => asked++ });
    for (let i = 0; i < 95; i++) write(["noise", String(i)]);
    write(["a", "1"]);
    const stream = open();
    stream.create(createRequest("a", { startRevision: 1 }));
    let woken = 0;
    stream.onReadable = () => woken++;
    assert.equal(stream.next()?.created, true);
    assert.equal(stream.next(), undefined);
    assert.ok(asked > 0);
    while (hub.tick(0));
    assert.equal(woken, 1);
    assert.deepEqual(showAll(hub, stream), ["#0 @97 a=1@97"]);
  });
});
