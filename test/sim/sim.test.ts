import assert from "node:assert/strict";
import { test } from "node:test";
import { Coverage } from "./coverage.ts";
import { MUTANTS } from "./mutants.ts";
import { simulate } from "./run.ts";

/**
 * Whole members under seeds: what is checked is in truth.ts, watchers.ts and run.ts. More of them:
 * `npm run sim -- --seeds N`.
 */

const SEEDS = 500;
/** Seeds within which a member that breaks a rule must be noticed. */
const MUTANT_SEEDS_MAX = 1000;
test("members that crash, lag, lose messages, disks and one another keep every promise", async () => {
  const coverage = new Coverage();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate({ seed });
    const replay = `npm run sim -- --seed ${seed} --verbose`;
    const lines = outcome.lastLines.slice(-20).join("\n");
    assert.equal(
      outcome.violation,
      undefined,
      `seed ${seed}, step ${outcome.step} (replay: ${replay})\n${lines}`,
    );
    coverage.merge(outcome.coverage.entries());
  }
  // Runs in which nothing happens prove nothing.
  for (const [what, least] of EXERCISED) {
    assert.ok(coverage.get(what) >= least, `${coverage.get(what)} ${what}, fewer than ${least}`);
  }
});

/** What 500 seeds do at least: about half of what they do now. */
const EXERCISED: readonly (readonly [what: string, least: number])[] = [
  ["entries applied", 50_000],
  ["proposals answered", 40_000],
  ["linearizable reads", 20_000],
  ["serializable reads", 4000],
  ["watch events", 50_000],
  ["watches opened", 2500],
  ["watches behind the compaction", 100],
  ["leaders", 1400],
  ["leader transfers", 150],
  ["crashes", 300],
  ["losses of power", 400],
  ["crashes at: save: before", 50],
  ["crashes at: save: after", 40],
  ["crashes at: send", 70],
  ["crashes at: state commit", 20],
  ["graceful stops", 250],
  ["snapshots installed", 250],
  ["logs compacted", 5000],
  ["members: add done", 250],
  ["members: remove done", 200],
  ["members: promote done", 50],
  ["members set up with an empty disk", 250],
  ["removed members that ended by themselves", 150],
  ["leases granted", 3000],
  ["leases renewed", 3500],
  ["leases expired", 2500],
  ["tenants created", 150],
  ["tenants deleted", 30],
  ["tenants suspended", 200],
  ["changes of policies and keys", 1500],
];

test("a seed gives the same run again", async () => {
  for (const seed of [3, 7, 11]) {
    const [once, again] = [await simulate({ seed }), await simulate({ seed })];
    assert.deepEqual(again, once);
    assert.ok(once.step > 1000);
  }
  const [a, b] = [await simulate({ seed: 3 }), await simulate({ seed: 4 })];
  assert.notEqual(a.traceHash, b.traceHash);
});

for (const [name, mutant] of Object.entries(MUTANTS)) {
  test(`the simulator notices a member that ${name}`, async () => {
    for (let seed = 1; seed <= MUTANT_SEEDS_MAX; seed++) {
      if ((await simulate({ seed, mutant })).violation !== undefined) return;
    }
    assert.fail(`no violation in ${MUTANT_SEEDS_MAX} seeds`);
  });
}
