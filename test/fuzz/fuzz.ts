import { parseArgs } from "node:util";
import { type FuzzRun, runTarget } from "./run-target.ts";
import { targets } from "./targets/mod.ts";

/**
 * `npm run fuzz -- [--seconds N] [--target NAME] [--seed S] [--attempts N]`: gives changed and forged
 * inputs to all that strangers reach, the time shared between the targets; prints how many, and of the
 * first that went wrong the input and how to repeat it. Exits with 1 then.
 */

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string" },
    seed: { type: "string" },
    attempts: { type: "string" },
  },
});

const names = values.target === undefined ? [...targets.keys()] : [values.target];
const seed = values.seed === undefined ? Date.now() >>> 0 : Number(values.seed);
const attemptsMax =
  values.attempts === undefined ? Number.POSITIVE_INFINITY : Number(values.attempts);
const msMax = (Number(values.seconds) * 1000) / names.length;
if (!Number.isSafeInteger(seed) || !(msMax > 0) || !(attemptsMax > 0)) {
  process.stderr.write("Usage: fuzz [--seconds N] [--target NAME] [--seed S] [--attempts N]\n");
  process.exit(2);
}
for (const name of names) {
  const make = targets.get(name);
  if (make === undefined) {
    process.stderr.write(`No target '${name}'; there are ${[...targets.keys()].join(", ")}\n`);
    process.exit(2);
  }
  // Told before, too: an input may end the process.
  process.stdout.write(`${name}: from seed ${seed}\n`);
  tell(name, await runTarget(make, { seed, attemptsMax, msMax }));
}

function tell(name: string, { attempts, failure }: FuzzRun): void {
  process.stdout.write(`${name}: ${attempts} inputs\n`);
  if (failure === undefined) return;
  const { error } = failure;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stdout.write(
    `${text}\nAgain: npm run fuzz -- --target ${name} --seed ${failure.seed} --attempts 1\n`,
  );
  process.exitCode = 1;
}
