import assert from "node:assert/strict";
import test, { describe } from "node:test";
import fc from "fast-check";
import {
  AssertionFailure,
  byteStringOf,
  bytesOf,
  compareByteStrings,
  createPrng,
  prefixEnd,
} from "../../src/stdx/mod.ts";

const bytes = fc.uint8Array({ maxLength: 20 });

describe("byte strings", () => {
  test("hold any bytes, also more than one chunk of them", () => {
    fc.assert(fc.property(bytes, (b) => assert.deepEqual(bytesOf(byteStringOf(b)), b)));
    const long = new Uint8Array(10_000).map((_, at) => at % 256);
    assert.deepEqual(bytesOf(byteStringOf(long)), long);
  });

  test("order as their bytes do", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const expected = Buffer.compare(a, b);
        assert.equal(compareByteStrings(byteStringOf(a), byteStringOf(b)), expected);
      }),
    );
  });

  test("refuse what is no byte", () => {
    assert.throws(() => bytesOf("\u0100"), AssertionFailure);
  });

  test("prefixEnd is the first string behind all with the prefix", () => {
    assert.equal(prefixEnd(""), undefined);
    assert.equal(prefixEnd("\u00ff\u00ff"), undefined);
    assert.equal(prefixEnd("a\u00ff"), "b");
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const [prefix, other] = [byteStringOf(a), byteStringOf(b)];
        const end = prefixEnd(prefix);
        const inside = other >= prefix && (end === undefined || other < end);
        assert.equal(inside, other.startsWith(prefix));
      }),
    );
  });
});

describe("the seeded generator", () => {
  test("gives the same for the same seed, and stays in its bounds", () => {
    const [one, two, other] = [createPrng(7), createPrng(7), createPrng(8)];
    const draw = (prng: ReturnType<typeof createPrng>): readonly number[] =>
      Array.from({ length: 100 }, () => prng.below(1000));
    const drawn = draw(one);
    assert.deepEqual(draw(two), drawn);
    assert.notDeepEqual(draw(other), drawn);
    assert.ok(drawn.every((n) => Number.isInteger(n) && n >= 0 && n < 1000));
    assert.ok(new Set(drawn).size > 50);
  });
});
