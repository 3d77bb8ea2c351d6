import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { RULES } from "../../src/core/raft/rules.ts";
import { runScript } from "./script/run.ts";
import { MUTANTS } from "./simulation/mutants.ts";
import { simulate } from "./simulation/run.ts";
import { scenariosFolder } from "./source-folder.ts";

/**
 * Random runs of three to five members under loss, repetition, reordering, partitions, crashes,
 * slow disks, snapshots and changes of members. `RAFT_SEED=n` runs one seed alone.
 */
const STEPS = 6000;
const SEEDS = 300;
const MUTANT_SEEDS_MAX = 1000;

test("election safety, log matching, leader completeness, state machine safety, reads", () => {
  const only = process.env["RAFT_SEED"];
  const seeds = only === undefined ? range(1, SEEDS) : [Number(only)];
  let applied = 0;
  for (const seed of seeds) {
    const outcome = simulate(seed, STEPS);
    assert.equal(outcome.violation, undefined, `seed ${seed} (replay with RAFT_SEED=${seed})`);
    applied += outcome.applied;
  }
  // Runs in which nothing happens prove nothing.
  assert.ok(applied > seeds.length * 5, `only ${applied} entries were applied`);
});

test("a seed gives the same run again", () => {
  assert.deepEqual(simulate(7, STEPS), simulate(7, STEPS));
});

for (const [name, fault] of Object.entries(MUTANTS)) {
  test(`the simulation notices a member that ${name}`, () => {
    const noticed = range(1, MUTANT_SEEDS_MAX).some(
      (seed) => simulate(seed, STEPS, fault).violation !== undefined,
    );
    assert.ok(noticed, `no violation in ${MUTANT_SEEDS_MAX} seeds`);
  });
}

test("the scenario of the ABA race notices a member that counts saves of older terms", () => {
  const name = "async-save-of-an-older-term-does-not-count.txt";
  const path = join(scenariosFolder(), name);
  const rules = { ...RULES, saveCounts: () => true };
  assert.notEqual(runScript(path, { update: false, rules }).length, 0);
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
