import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PACED_MS_MAX, RequestRate } from "../../src/edge/request-rate.ts";

/** The token bucket of one tenant, and the pace at which its refusals leave. */

/** Which of requests at these times are taken. */
function taken(limits: Parameters<RequestRate["take"]>[0], ...times: number[]): readonly boolean[] {
  const rate = new RequestRate();
  return times.map((at) => rate.take(limits, at));
}

test("the burst at once, then one for each interval", () => {
  const limits = { requestsPerSecond: 10, requestBurst: 2 };
  const answers = [true, true, false, false, true, false, true];
  assert.deepEqual(taken(limits, 0, 0, 0, 99, 100, 100, 200), answers);
});

test("a second's worth may come at once unless a burst is set", () => {
  assert.deepEqual(taken({ requestsPerSecond: 2 }, 0, 0, 0), [true, true, false]);
});

test("a long pause earns no more than the burst", () => {
  const limits = { requestsPerSecond: 1000, requestBurst: 1 };
  assert.deepEqual(taken(limits, 0, 60_000, 60_000), [true, true, false]);
});

test("another limit counts from the next request on, and none takes all", () => {
  const rate = new RequestRate();
  assert.equal(rate.take({ requestsPerSecond: 1 }, 0), true);
  assert.equal(rate.take({ requestsPerSecond: 1 }, 0), false);
  assert.equal(rate.take({ requestsPerSecond: 100 }, 10), true);
  assert.equal(rate.take({ requestsPerSecond: 100 }, 10), false);
  assert.equal(rate.take({}, 10), true);
  // A limit that comes after there was none begins with its burst.
  assert.equal(rate.take({ requestsPerSecond: 1 }, 11), true);
});

test("no span of time has more than the burst and what it earned", () => {
  const arrivals = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 });
  const limits = fc.record({
    requestsPerSecond: fc.integer({ min: 1, max: 50 }),
    requestBurst: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(limits, arrivals, (limit, pauses) => {
      let at = 0;
      const times = pauses.map((pause) => (at += pause));
      const ok = taken(limit, ...times);
      const passed = times.filter((_, i) => ok[i]);
      for (const [i, from] of passed.entries()) {
        for (const [j, to] of passed.entries()) {
          const earned = ((to - from) * limit.requestsPerSecond) / 1000;
          if (j >= i) assert.ok(j - i + 1 <= limit.requestBurst + earned + 1e-6);
        }
      }
    }),
  );
});

test("refusals leave at the tenant's own pace, the first at once", () => {
  const rate = new RequestRate();
  const limits = { requestsPerSecond: 10 };
  assert.deepEqual(
    [0, 0, 0, 50].map((at) => rate.pace(limits, at)),
    [0, 100, 200, 250],
  );
  assert.equal(rate.pace(limits, 10_000), 0);
});

test("no more wait than a second takes; beyond it is a flood", () => {
  const rate = new RequestRate();
  const waits = Array.from({ length: 50 }, () => rate.pace({ requestsPerSecond: 10 }, 0));
  assert.equal(waits.filter((ms) => ms !== undefined).length, 10);
  const fast = new RequestRate();
  const held = Array.from({ length: 5000 }, () => fast.pace({ requestsPerSecond: 1e6 }, 0));
  assert.equal(held.filter((ms) => ms !== undefined).length, PACED_MS_MAX);
});

test("who asks one at a time is served the whole rate, whatever came before", () => {
  const HELD_MS = 1250;
  for (const limits of [
    { requestsPerSecond: 1 },
    { requestsPerSecond: 20 },
    { requestsPerSecond: 100, requestBurst: 10 },
  ]) {
    const rate = new RequestRate();
    for (let n = 0; n < 300; n++) if (!rate.take(limits, 0)) rate.pace(limits, 0);
    let served = 0;
    for (let at = 1; at < 60_000;) {
      if (rate.take(limits, at)) {
        served++;
        at += 1;
      } else {
        at += 1 + (rate.pace(limits, at) ?? HELD_MS);
      }
    }
    assert.ok(
      served >= 0.9 * 60 * limits.requestsPerSecond,
      `${served} at ${limits.requestsPerSecond}/s`,
    );
  }
});
