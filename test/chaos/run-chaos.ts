import { createPrng } from "../../src/stdx/mod.ts";
import { checkHistory } from "./check-history.ts";
import { FAULTS } from "./faults.ts";
import { Fleet } from "./fleet.ts";
import { type HistoryLine, readHistory } from "./history.ts";
import { type Pace, describeSchedule, runNemesis, schedule } from "./nemesis.ts";
import { report } from "./report.ts";
import { runWorkload } from "./run-workload.ts";
import { Findings, type Verdict } from "./verdict.ts";

/** One run: a cluster, clients, faults; then every check of what was written down. */

export interface ChaosOptions {
  readonly seconds: number;
  /** Where the history goes. */
  readonly path: string;
  readonly seed: number;
  /** Kinds of faults; all unless given. */
  readonly kinds?: readonly string[];
  readonly pace?: Pace;
  readonly print: (line: string) => void;
}

export interface ChaosResult {
  readonly verdicts: readonly Verdict[];
  readonly report: string;
}

/** A small number makes snapshots, and members that need one, part of a run. */
const FLAGS = ["--snapshot-entries", "500"];

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seconds, path, seed, kinds = Object.keys(FAULTS), pace, print } = options;
  const planned = schedule(seed, { seconds, kinds, ...(pace === undefined ? {} : { pace }) });
  print(`Seed ${seed}, ${planned.length} faults in ${seconds} s\n${describeSchedule(planned)}`);
  const problems = new Findings("run", "members end when told to, and come back");
  const smallDisks = kinds.includes("disk-full");
  // Whatever a client trips over must not end the run; it is a failure at its end.
  const onError = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    problems.violated(`an error that nobody caught: ${text}`);
  };
  process.on("uncaughtException", onError);
  process.on("unhandledRejection", onError);
  const fleet = await Fleet.start({ flags: FLAGS, smallDisks, prng: createPrng(seed) });
  try {
    const meanwhile = (world: Parameters<typeof runNemesis>[0]): Promise<void> =>
      runNemesis(world, { fleet, planned, seed, endMs: seconds * 1000, print });
    const found = await runWorkload({ target: fleet, path, seed, meanwhile, print });
    for (const problem of [...fleet.problems, ...found]) problems.violated(problem);
    problems.checked(fleet.members.length);
    if (problems.verdict.state !== "ok") print(fleet.cluster.tails());
  } finally {
    await fleet[Symbol.asyncDispose]();
    process.off("uncaughtException", onError);
    process.off("unhandledRejection", onError);
  }
  print("Checking the history");
  const lines = await readHistory(path);
  return judge(lines, [problems.verdict]);
}

const MEMBERS = 3;

/** Every check of a history that is there. */
export function judge(lines: readonly HistoryLine[], others: readonly Verdict[]): ChaosResult {
  const verdicts = [...checkHistory(lines, MEMBERS), ...others];
  return { verdicts, report: report(lines, verdicts) };
}
