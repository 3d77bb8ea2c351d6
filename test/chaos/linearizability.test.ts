import assert from "node:assert/strict";
import test, { describe } from "node:test";
import type { OpLine } from "./history.ts";
import { checkLinearizability } from "./linearizability.ts";
import { pairOps } from "./ops.ts";
import type { Verdict } from "./verdict.ts";

describe("linearizability", () => {
  type Spec = readonly [process: number, start: number, end: number, line: Partial<OpLine>];
  const check = (specs: readonly Spec[], timeMs = 10_000): Verdict => {
    const lines = specs.flatMap(([process, start, end, line]) => {
      const base = { process, key: "k", type: "ok", value: null, ...line } as OpLine;
      return [
        { ...base, type: "invoke", time: start } as OpLine,
        ...(end === Infinity ? [] : [{ ...base, time: end }]),
      ];
    });
    const ops = pairOps(lines.toSorted((a, b) => a.time - b.time));
    return checkLinearizability(ops, { timeMs, configurations: 10_000 });
  };
  const write = (value: string): Partial<OpLine> => ({ f: "write", value });
  const read = (value: string | null): Partial<OpLine> => ({ f: "read", value });
  const remove: Partial<OpLine> = { f: "delete" };

  const cases: readonly (readonly [string, "ok" | "violated", readonly Spec[]])[] = [
    [
      "a read sees a write in progress",
      "ok",
      [
        [1, 0, 10, write("a")],
        [2, 1, 2, read("a")],
      ],
    ],
    [
      "a value that was seen stays seen",
      "violated",
      [
        [1, 0, 10, write("a")],
        [2, 1, 2, read("a")],
        [2, 3, 4, read(null)],
      ],
    ],
    [
      "a write without an answer may happen late",
      "ok",
      [
        [1, 0, Infinity, write("a")],
        [2, 1, 2, read(null)],
        [2, 3, 4, read("a")],
      ],
    ],
    [
      "but once",
      "violated",
      [
        [1, 0, Infinity, write("a")],
        [2, 3, 4, read("a")],
        [2, 5, 6, write("b")],
        [2, 7, 8, read("a")],
      ],
    ],
    [
      "and not before it was sent",
      "violated",
      [
        [2, 1, 2, read("a")],
        [1, 3, Infinity, write("a")],
      ],
    ],
    [
      "one delete without an answer explains one absence",
      "ok",
      [
        [1, 0, Infinity, remove],
        [2, 1, 2, write("a")],
        [2, 3, 4, read(null)],
      ],
    ],
    [
      "but not two",
      "violated",
      [
        [1, 0, Infinity, remove],
        [2, 1, 2, write("a")],
        [2, 3, 4, read(null)],
        [2, 5, 6, write("b")],
        [2, 7, 8, read(null)],
      ],
    ],
    [
      "a swap says what it found",
      "violated",
      [
        [1, 0, 1, write("a")],
        [1, 2, 3, { f: "write", value: "b", prev: null }],
      ],
    ],
    [
      "concurrent writes are read in one order by all",
      "violated",
      [
        [1, 0, 20, write("a")],
        [2, 0, 20, write("b")],
        [3, 1, 2, read("a")],
        [3, 3, 4, read("b")],
        [4, 5, 6, read("a")],
      ],
    ],
    [
      "a compare of unknown outcome that was seen has seen",
      "violated",
      [
        [1, 0, 1, write("a")],
        [2, 2, Infinity, { f: "cas", value: ["z", "b"], by: "value" }],
        [3, 3, 4, read("b")],
      ],
    ],
    [
      "of two that found the same, one won",
      "violated",
      [
        [1, 0, 1, write("a")],
        [2, 2, 9, { f: "cas", value: ["a", "b"], by: "value" }],
        [3, 2, 9, { f: "cas", value: ["a", "c"], by: "value" }],
      ],
    ],
  ];
  for (const [what, state, specs] of cases) {
    test(what, () => assert.equal(check(specs).state, state));
  }

  test("what takes too long is unknown, and no pass", () => {
    const specs = Array.from({ length: 200 }, (_, i): Spec => [i, i, i + 50, write(`v${i}`)]);
    assert.equal(check(specs, -1).state, "unknown");
  });

  test("too many configurations are unknown, and no pass", () => {
    const specs = Array.from({ length: 25 }, (_, i): Spec => [i, i, 1000 - i, write(`v${i}`)]);
    assert.equal(check(specs).state, "unknown");
  });

  test("many writes without an answer cost little", () => {
    const lost = Array.from({ length: 500 }, (_, i): Spec => [
      i + 10,
      i * 10,
      Infinity,
      i % 3 === 0 ? remove : write(`lost${i}`),
    ]);
    const kept = Array.from({ length: 500 }, (_, i): Spec[] => [
      [1, i * 10, i * 10 + 2, write(`v${i}`)],
      [2, i * 10 + 3, i * 10 + 9, read(`v${i}`)],
    ]).flat();
    assert.equal(check([...lost, ...kept]).state, "ok");
  });
});
