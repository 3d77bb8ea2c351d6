import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { bench, recordOf, sign } from "./fixtures.ts";

const CASES: readonly (readonly [unknown, readonly unknown[], readonly unknown[]])[] = [
  [true, [true], [false, 1, "true", undefined, null, [true]]],
  [7, [7], ["7", 7.5, true, undefined, [7]]],
  ["7", ["7"], [7]],
  // A star is a star where no glob is asked for.
  ["main*", ["main*"], ["main", "mainline"]],
  [{ glob: "main*" }, ["main", "mainline", "main*"], ["Main", "xmain", ["main"], 7, undefined]],
  [{ glob: "*/app" }, ["acme/app", "/app"], ["acme/app/evil", "acme/apps"]],
  [
    { glob: "repo:acme/*:ref:refs/heads/main" },
    ["repo:acme/app:ref:refs/heads/main"],
    ["repo:acmex/app:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main2", "x:ref"],
  ],
  [{ glob: "a*a" }, ["aa", "aba"], ["a", "ab"]],
  [{ glob: "a.c" }, ["a.c"], ["abc"]],
  [{ glob: "*" }, ["anything", ""], [undefined, {}]],
];
for (const [wanted, good, bad] of CASES) {
  test(`a claim bound to ${JSON.stringify(wanted)}`, async () => {
    const b = bench([recordOf({ boundClaims: { ref: wanted } })]);
    for (const ref of good) await b.authenticate(await sign({ ref }));
    for (const ref of bad) assert.match(await b.refusal(await sign({ ref })), /claim ref/);
  });
}

test("globs match what a plain regular expression of the same meaning matches", async () => {
  const part = fc.constantFrom("a", "b", "*", "ab", ".");
  const texts = fc
    .array(fc.constantFrom("a", "b", "."), { maxLength: 8 })
    .map((all) => all.join(""));
  const globs = fc.array(part, { minLength: 1, maxLength: 6 }).map((all) => all.join(""));
  await fc.assert(
    fc.asyncProperty(globs, texts, async (glob, ref) => {
      const b = bench([recordOf({ boundClaims: { ref: { glob } } })]);
      const pattern = glob.replaceAll(".", "\\.").replaceAll("*", ".*");
      const token = await sign({ ref });
      if (new RegExp(`^${pattern}$`, "s").test(ref)) await b.authenticate(token);
      else assert.match(await b.refusal(token), /claim ref/);
    }),
    { numRuns: 200 },
  );
});

test("a glob of many stars over a long claim takes no time", async () => {
  const glob = `${"*a".repeat(500)}*b`;
  const b = bench([recordOf({ boundClaims: { ref: { glob } } })]);
  // With one that tries again at each star this would not end.
  assert.match(await b.refusal(await sign({ ref: "a".repeat(4000) })), /claim ref/);
});
