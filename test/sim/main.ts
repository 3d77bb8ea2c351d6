import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { Coverage } from "./coverage.ts";
import { type Outcome, simulate } from "./run.ts";

/**
 * Runs seeds of the simulator on all cores: `npm run sim -- --seeds N [--from S] [--steps K]`; or one
 * alone: `npm run sim -- --seed S [--steps K] [--verbose]`. Prints what was exercised, and of each
 * seed that fails the check, the step, the last events and how to replay it; exits with 1 then.
 */

const USAGE = "Usage: sim [--seeds N] [--from S] [--steps K] | --seed S [--steps K] [--verbose]";
const SEEDS = 500;
/** Failures after which the rest is not run. */
const FAILURES_MAX = 10;
const TELL_MS = 10_000;

interface Task {
  readonly seed: number;
  readonly stepsMax: number;
}

type Report = Omit<Outcome, "coverage"> & {
  readonly counts: readonly (readonly [string, number])[];
};

if (isMainThread) process.exitCode = await main();
else work();

async function main(): Promise<number> {
  const options = {
    seeds: { type: "string", default: String(SEEDS) },
    from: { type: "string", default: "1" },
    steps: { type: "string" },
    seed: { type: "string" },
    verbose: { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ options, allowPositionals: false });
  const [seeds, from, seed] = [values.seeds, values.from, values.seed ?? "1"].map(Number);
  const stepsMax = values.steps === undefined ? Number.POSITIVE_INFINITY : Number(values.steps);
  if (!isWhole(seeds) || !isWhole(from) || !isWhole(seed) || seeds < 1 || !(stepsMax > 0)) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  if (values.seed !== undefined) return runOne(seed, stepsMax, values.verbose);
  return runMany(from, seeds, stepsMax);
}

function isWhole(value: number | undefined): value is number {
  return Number.isSafeInteger(value);
}

async function runOne(seed: number, stepsMax: number, verbose: boolean): Promise<number> {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const outcome = await simulate({ seed, stepsMax, ...(verbose && { print }) });
  printTable(outcome.coverage);
  process.stdout.write(`trace ${outcome.traceHash} after ${outcome.step} steps\n`);
  if (outcome.violation === undefined) return 0;
  printFailure(outcome, stepsMax);
  return 1;
}

async function runMany(from: number, seeds: number, stepsMax: number): Promise<number> {
  const coverage = new Coverage();
  const failed: Report[] = [];
  const began = performance.now();
  let next = from;
  let done = 0;
  let told = began;
  const take = (): Task | undefined =>
    next >= from + seeds || failed.length >= FAILURES_MAX ? undefined : { seed: next++, stepsMax };
  const onReport = (report: Report): void => {
    done += 1;
    coverage.merge(report.counts);
    if (report.violation !== undefined) {
      failed.push(report);
      printFailure(report, stepsMax);
    }
    const now = performance.now();
    if (now - told < TELL_MS) return;
    told = now;
    process.stderr.write(`${done} of ${seeds} seeds, ${failed.length} failed\n`);
  };
  const workers = Math.min(availableParallelism(), seeds);
  await Promise.all(Array.from({ length: workers }, () => runWorker(take, onReport)));
  const seconds = (performance.now() - began) / 1000;
  printTable(coverage);
  process.stdout.write(
    `${done} seeds from ${from} on in ${seconds.toFixed(1)} s ` +
      `(${(done / seconds).toFixed(1)} a second), ${failed.length} failed\n`,
  );
  return failed.length === 0 ? 0 : 1;
}

function runWorker(
  take: () => Task | undefined,
  onReport: (report: Report) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url));
    const give = (): void => {
      const task = take();
      if (task === undefined) worker.terminate().then(() => resolve(), reject);
      else worker.postMessage(task);
    };
    worker.on("message", (report: Report) => {
      onReport(report);
      give();
    });
    worker.on("error", reject);
    give();
  });
}

function work(): void {
  parentPort?.on("message", (task: Task) => {
    void simulate(task).then(({ coverage, ...rest }) => {
      parentPort?.postMessage({ ...rest, counts: coverage.entries() } satisfies Report);
    });
  });
}

function printFailure(report: Omit<Outcome, "coverage">, stepsMax: number): void {
  const { seed, step, violation, lastLines } = report;
  const steps = Number.isFinite(stepsMax) ? ` --steps ${stepsMax}` : "";
  process.stdout.write(
    `${lastLines.join("\n")}\n` +
      `seed ${seed}, step ${step}: ${violation}\n` +
      `replay: npm run sim -- --seed ${seed}${steps} --verbose\n\n`,
  );
}

function printTable(coverage: Coverage): void {
  const rows = coverage.entries();
  const width = Math.max(...rows.map(([, count]) => String(count).length));
  for (const [what, count] of rows) {
    process.stdout.write(`${String(count).padStart(width)}  ${what}\n`);
  }
}
