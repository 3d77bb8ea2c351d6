import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { key, rangeHas, type KeyRange } from "../../src/core/types/mod.ts";
import { createPrng } from "../../src/stdx/mod.ts";
import { IntervalTree } from "../../src/core/watch/interval-tree.ts";

const keys = fc.string({ unit: fc.constantFrom("a", "b", "c", "\0", "\xff"), maxLength: 3 });
const ranges: fc.Arbitrary<KeyRange> = fc
  .tuple(keys, fc.option(keys, { nil: undefined }))
  .map(([lo, hi]) => ({ lo: key(lo), hi: hi === undefined ? undefined : key(hi) }));

function nameOf({ lo, hi }: KeyRange): string {
  return JSON.stringify([lo, hi ?? null]);
}

test("finds what a scan of all ranges finds, as ranges come and go", () => {
  const step = fc.record({ range: ranges, probe: keys });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer(), (steps, seed) => {
      const tree = new IntervalTree<string>(createPrng(seed));
      const model = new Map<string, KeyRange>();
      for (const { range, probe } of steps) {
        const name = nameOf(range);
        assert.equal(tree.get(range), model.has(name) ? name : undefined);
        if (model.delete(name)) {
          tree.delete(range);
        } else {
          model.set(name, range);
          tree.insert(range, name);
        }
        assert.equal(tree.size, model.size);
        const found: string[] = [];
        tree.stab(key(probe), (value) => found.push(value));
        const held = [...model].filter(([, each]) => rangeHas(each, key(probe)));
        assert.deepEqual(found.toSorted(), held.map(([each]) => each).toSorted());
      }
    }),
    { numRuns: 500 },
  );
});

test("ranges in order make no deep tree", () => {
  const tree = new IntervalTree<number>(createPrng(1));
  for (let i = 0; i < 100_000; i++) {
    const lo = key(String(i).padStart(6, "0"));
    tree.insert({ lo, hi: undefined }, i);
  }
  let found = 0;
  tree.stab(key("000004"), () => found++);
  assert.equal(found, 5);
});
