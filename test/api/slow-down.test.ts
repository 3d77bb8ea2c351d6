import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type http2 from "node:http2";
import { mock, test } from "node:test";
import { slowableConnection } from "../../src/api/slow-down.ts";

/** A connection that is asked to slow down, as its client is told of it. */

class FakeSession extends EventEmitter {
  readonly told: (number | undefined)[] = [];
  readonly closed = false;
  destroyed = false;
  #acknowledged: (() => void)[] = [];

  settings({ maxConcurrentStreams }: http2.Settings, acknowledged: () => void): void {
    assert.equal(this.destroyed, false);
    this.told.push(maxConcurrentStreams);
    this.#acknowledged.push(acknowledged);
  }

  /** Of as many as its client has to acknowledge. */
  acknowledge(): number {
    const acknowledged = this.#acknowledged;
    this.#acknowledged = [];
    for (const each of acknowledged) each();
    return acknowledged.length;
  }
}

function stand(): { session: FakeSession; connection: ReturnType<typeof slowableConnection> } {
  const session = new FakeSession();
  const connection = slowableConnection(session as unknown as http2.ServerHttp2Session, 2048);
  return { session, connection };
}

test("few streams while it is asked for, and all again ten seconds later", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { session, connection } = stand();
  connection.slowDown(8);
  connection.slowDown(8);
  assert.deepEqual(session.told, []);
  mock.timers.tick(200);
  assert.deepEqual(session.told, [8]);
  session.acknowledge();
  mock.timers.tick(9000);
  connection.slowDown(8);
  mock.timers.tick(9999);
  assert.deepEqual(session.told, [8]);
  mock.timers.tick(1);
  assert.deepEqual(session.told, [8, 2048]);
  session.acknowledge();
  connection.slowDown(8);
  mock.timers.tick(200);
  assert.deepEqual(session.told, [8, 2048, 8]);
});

test("streams that last have their places beside them", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { session, connection } = stand();
  for (let n = 0; n < 20; n++) connection.lasting(1);
  connection.lasting(-1);
  connection.slowDown(8);
  mock.timers.tick(200);
  assert.deepEqual(session.told, [27]);
});

test("a stream that lasts takes no place of a request as it comes, and its place stays until all is over", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { session, connection } = stand();
  connection.lasting(1);
  assert.deepEqual(session.told, []);
  connection.slowDown(1);
  mock.timers.tick(200);
  assert.deepEqual(session.told, [2]);
  session.acknowledge();
  for (let n = 0; n < 5; n++) {
    connection.lasting(1);
    session.acknowledge();
    connection.lasting(-1);
    session.acknowledge();
  }
  assert.deepEqual(session.told, [2, 3]);
  mock.timers.tick(10_000);
  session.acknowledge();
  connection.lasting(-1);
  assert.deepEqual(session.told, [2, 3, 2048]);
  connection.slowDown(1);
  mock.timers.tick(200);
  assert.deepEqual(session.told, [2, 3, 2048, 1]);
});

test("a client is told one thing at a time, and the newest when it has acknowledged the last", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { session, connection } = stand();
  connection.slowDown(1);
  mock.timers.tick(200);
  for (let n = 0; n < 100; n++) connection.lasting(1);
  assert.deepEqual(session.told, [1]);
  assert.equal(session.acknowledge(), 1);
  assert.equal(session.acknowledge(), 1);
  assert.equal(session.acknowledge(), 0);
  assert.deepEqual(session.told, [1, 101]);
});

test("a connection that is gone is told nothing", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const { session, connection } = stand();
  connection.slowDown(8);
  mock.timers.tick(200);
  session.destroyed = true;
  session.emit("close");
  mock.timers.tick(60_000);
  connection.slowDown(8);
  assert.deepEqual(session.told, [8]);
});
