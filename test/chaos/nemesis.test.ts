import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { FAULTS, NETWORK_FAULTS, PROCESS_FAULTS } from "./faults.ts";
import { schedule } from "./nemesis.ts";

/** The schedule of faults. */

const KINDS = Object.keys(FAULTS);
const SECONDS = 1800;

describe("the schedule", () => {
  test("is what its seed makes it", () => {
    const options = { seconds: SECONDS, kinds: KINDS };
    assert.deepEqual(schedule(7, options), schedule(7, options));
    assert.notDeepEqual(schedule(7, options), schedule(8, options));
  });

  test("has every kind about equally often, and ends in time", () => {
    const planned = schedule(7, { seconds: SECONDS, kinds: KINDS });
    const times = KINDS.map((kind) => planned.filter(({ kinds }) => kinds[0] === kind).length);
    assert.ok(Math.max(...times) - Math.min(...times) <= 1);
    assert.ok(Math.min(...times) >= 5);
    for (const { atMs, forMs } of planned) assert.ok(atMs + forMs < SECONDS * 1000);
  });

  test("puts a fault of the network beside one of a process, now and then", () => {
    const planned = schedule(7, { seconds: SECONDS, kinds: KINDS });
    const pairs = planned.filter(({ kinds }) => kinds.length === 2);
    assert.ok(pairs.length > 5);
    for (const { kinds } of pairs) {
      const groups = [PROCESS_FAULTS, NETWORK_FAULTS];
      for (const group of groups) assert.equal(kinds.filter((kind) => group.has(kind)).length, 1);
    }
  });

  test("of one kind has that one alone", () => {
    const planned = schedule(1, { seconds: 60, kinds: ["kill"] });
    assert.ok(planned.length > 3);
    assert.ok(planned.every(({ kinds }) => kinds.join() === "kill"));
  });

  test("of no kind is empty", () => {
    assert.deepEqual(schedule(1, { seconds: 60, kinds: [] }), []);
  });
});
