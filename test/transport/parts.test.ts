import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { MESSAGE_BYTES_MAX, PartJoiner, type Joined } from "../../src/transport/parts.ts";

function feed(
  joiner: PartJoiner,
  message: Uint8Array,
  offsets: readonly number[],
  size: number,
): Joined {
  let last: Joined = { kind: "waiting" };
  for (const at of offsets) {
    last = joiner.add(message.subarray(at, at + size), message.length, at);
    if (last.kind !== "waiting") return last;
  }
  return last;
}

function offsetsOf(length: number, size: number): number[] {
  return Array.from({ length: Math.ceil(length / size) }, (_, at) => at * size);
}

test("parts in order make the message, whatever was left unfinished before", () => {
  const arbitrary = fc.tuple(
    fc.uint8Array({ minLength: 1, maxLength: 200 }),
    fc.uint8Array({ minLength: 1, maxLength: 200 }),
    fc.integer({ min: 1, max: 50 }),
    fc.nat(),
  );
  fc.assert(
    fc.property(arbitrary, ([left, message, size, cut]) => {
      const joiner = new PartJoiner();
      const before = offsetsOf(left.length, size);
      feed(joiner, left, before.slice(0, cut % before.length), size);
      const joined = feed(joiner, message, offsetsOf(message.length, size), size);
      assert.ok(joined.kind === "whole");
      assert.deepEqual(Uint8Array.from(joined.message), message);
    }),
    { numRuns: 300 },
  );
});

test("a missing, repeated or swapped part gives no message, nor one put together wrongly", () => {
  const message = Uint8Array.from({ length: 10 }, (_, at) => at);
  for (const offsets of [
    [0, 4, 8],
    [0, 2, 2, 4, 6, 8],
    [0, 2, 6, 4, 8],
    [2, 4, 6, 8],
    [0, 2, 4, 6],
  ]) {
    assert.deepEqual(
      feed(new PartJoiner(), message, offsets, 2),
      { kind: "waiting" },
      `${offsets}`,
    );
  }
});

test("parts that lie about their length are given up", () => {
  const joiner = new PartJoiner();
  assert.equal(joiner.add(new Uint8Array(5), 8, 0).kind, "waiting");
  assert.equal(joiner.add(new Uint8Array(5), 8, 5).kind, "waiting"); // Two bytes too many.
  assert.equal(joiner.add(new Uint8Array(3), 8, 5).kind, "waiting"); // And so this has no begin.
  assert.equal(joiner.add(new Uint8Array(0), 8, 0).kind, "waiting");
  assert.equal(joiner.add(new Uint8Array(8), 8, 0).kind, "whole");
  assert.equal(joiner.add(new Uint8Array(4), 8, 0).kind, "waiting");
  assert.equal(joiner.add(new Uint8Array(4), 9, 4).kind, "waiting"); // Of another message.
  assert.equal(joiner.add(new Uint8Array(1), 9, 8).kind, "waiting"); // And so this completes none.
});

test("a message above the bound is refused at its first part", () => {
  const joiner = new PartJoiner();
  assert.equal(joiner.add(new Uint8Array(5), MESSAGE_BYTES_MAX + 1, 0).kind, "too-large");
  assert.equal(joiner.add(new Uint8Array(5), MESSAGE_BYTES_MAX, 0).kind, "waiting");
});
