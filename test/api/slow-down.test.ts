import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type http2 from "node:http2";
import { mock, test } from "node:test";
import { slowableConnection } from "../../src/api/slow-down.ts";

/** A connection that is asked to slow down, as its client is told of it. */

class FakeSession extends EventEmitter {
  readonly told: (number | undefined)[] = [];
  destroyed = false;
  readonly closed = false;

  settings({ maxConcurrentStreams }: http2.Settings): void {
    assert.equal(this.destroyed, false);
    this.told.push(maxConcurrentStreams);
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
  mock.timers.tick(9000);
  connection.slowDown(8);
  mock.timers.tick(9999);
  assert.deepEqual(session.told, [8]);
  mock.timers.tick(1);
  assert.deepEqual(session.told, [8, 2048]);
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
