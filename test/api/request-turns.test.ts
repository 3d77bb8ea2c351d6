import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { type ArrivedRequest, RequestTurns } from "../../src/api/grpc/request-turns.ts";

const PER_TURN = 256;
const MIB = 1024 * 1024;

function request(
  begin: () => unknown,
  more: { readonly bytes?: number; readonly isDone?: () => boolean } = {},
): ArrivedRequest {
  return { bytes: 100, isDone: () => false, begin: () => void begin(), ...more };
}

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
        turns.run(request(() => order.push(number)));
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
  turns.run(request(() => (isBehind = order.length === 2 * PER_TURN + 10)));
  await nextTurn();
  assert.ok(isBehind);
  assert.deepEqual(order, upTo(2 * PER_TURN + 10));
});

test("a request that begins others does not begin them all in its turn", async () => {
  const { turns, order } = begun();
  let left = 1000;
  const again = (): void => {
    order.push(left);
    if (--left > 0) turns.run(request(again));
  };
  turns.run(request(again));
  assert.equal(order.length, PER_TURN);
  await nextTurn();
  assert.ok(order.length <= 2 * PER_TURN);
  while (left > 0) await nextTurn();
  assert.equal(order.length, 1000);
});

test("what is over before its turn takes no other's place", async () => {
  const { turns, order, add } = begun();
  add(PER_TURN);
  const gone = request(() => assert.fail("it was begun"), { isDone: () => true });
  for (let i = 0; i < 3 * PER_TURN; i++) turns.run(gone);
  add(PER_TURN);
  await nextTurn();
  assert.deepEqual(order, upTo(2 * PER_TURN));
});

test("large requests do not wait past 16 MiB, and small ones wait again after them", async () => {
  const { turns, order, add } = begun();
  add(PER_TURN);
  const large: number[] = [];
  for (let i = 0; i < 20; i++) turns.run(request(() => large.push(i), { bytes: MIB }));
  assert.deepEqual(large, [16, 17, 18, 19]);
  await nextTurn();
  assert.deepEqual(large.length, 20);
  await nextTurn();
  add(PER_TURN + 1);
  assert.equal(order.length, 2 * PER_TURN);
  await nextTurn();
  assert.deepEqual(order, upTo(2 * PER_TURN + 1));
});
