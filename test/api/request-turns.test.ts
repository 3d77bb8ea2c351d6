import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { RequestTurns } from "../../src/api/grpc/request-turns.ts";

const PER_TURN = 256;

/** Notes the numbers of requests as they begin. */
function begun(): { readonly turns: RequestTurns; readonly order: number[]; add(n: number): void } {
  const turns = new RequestTurns();
  const order: number[] = [];
  let next = 0;
  return {
    turns,
    order,
    add(n) {
      for (let i = 0; i < n; i++) {
        const number = next++;
        turns.run(() => order.push(number));
      }
    },
  };
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, at) => at);

test("requests begin at once, up to as many as one turn takes", async () => {
  const { order, add } = begun();
  for (let turn = 1; turn <= 3; turn++) {
    add(PER_TURN);
    assert.deepEqual(order, upTo(turn * PER_TURN));
    await nextTurn();
  }
});

test("the others follow in their order, so many in each turn", async () => {
  const { order, add } = begun();
  add(3 * PER_TURN + 5);
  const counts = [order.length];
  for (let turn = 0; turn < 4; turn++) {
    await nextTurn();
    counts.push(order.length);
  }
  assert.deepEqual(counts, [PER_TURN, 2 * PER_TURN, 3 * PER_TURN, 3 * PER_TURN + 5, counts[4]]);
  assert.deepEqual(order, upTo(3 * PER_TURN + 5));
});

test("one that comes while others wait comes after them", async () => {
  const { turns, order, add } = begun();
  add(PER_TURN + 10);
  await nextTurn();
  assert.equal(order.length, PER_TURN + 10);
  // This turn has room for what is left of it.
  add(PER_TURN);
  assert.equal(order.length, 2 * PER_TURN);
  let isBehind = false;
  turns.run(() => (isBehind = order.length === 2 * PER_TURN + 10));
  await nextTurn();
  assert.ok(isBehind);
  assert.deepEqual(order, upTo(2 * PER_TURN + 10));
});

test("a request that begins others does not begin them all in its turn", async () => {
  const { turns, order } = begun();
  let left = 1000;
  const again = (): void => {
    order.push(left);
    if (--left > 0) turns.run(again);
  };
  turns.run(again);
  assert.equal(order.length, PER_TURN);
  await nextTurn();
  assert.ok(order.length <= 2 * PER_TURN);
  while (left > 0) await nextTurn();
  assert.equal(order.length, 1000);
});
