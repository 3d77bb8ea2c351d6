import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CofferError } from "../../src/errors.ts";
import { runTarget } from "./run-target.ts";
import { Finding, unlessRefused } from "./target.ts";
import { targets } from "./targets/mod.ts";

/** A minute together. */
const MS_EACH = 60_000 / targets.size;
const SEED = Number(process.env["COFFER_SEED"] ?? Date.now() >>> 0);

describe("inputs of strangers, changed and forged", () => {
  for (const [name, make] of targets) {
    test(name, async () => {
      const bounds = { seed: SEED, attemptsMax: Number.POSITIVE_INFINITY, msMax: MS_EACH };
      const { attempts, failure } = await runTarget(make, bounds);
      const again = `npm run fuzz -- --target ${name} --seed ${failure?.seed ?? 0} --attempts 1`;
      assert.equal(failure, undefined, `${String(failure?.error)}\nAgain: ${again}`);
      assert.ok(attempts > 0);
    });
  }
});

test("an attempt that goes wrong ends the run, and is told with its seed", async () => {
  let closed = false;
  const broken = {
    name: "broken",
    attempt: () => {
      throw new Finding("wrong", Uint8Array.of(1));
    },
    close: () => void (closed = true),
  };
  const run = await runTarget(() => broken, { seed: 7, attemptsMax: 9, msMax: 60_000 });
  assert.equal(run.attempts, 1);
  assert.equal(run.failure?.seed, 7);
  assert.match(String(run.failure.error), /wrong\n {2}input: 01/);
  assert.ok(closed);
});

test("a refusal is no finding, anything else thrown is one", () => {
  const refuse = (): never => {
    throw new CofferError("invalid-argument");
  };
  assert.equal(unlessRefused("x", refuse), undefined);
  const fail = (): never => {
    throw new TypeError("oops");
  };
  assert.throws(() => unlessRefused("x", fail), Finding);
});
