import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { FAULTS } from "./faults.ts";
import { measureFailover } from "./figures.ts";
import { readHistory } from "./history.ts";
import { type ChaosResult, judge, runChaos } from "./run-chaos.ts";

/**
 * `npm run chaos -- --seconds N --history FILE [--seed S] [--faults kind,kind]`: a cluster under faults
 * and clients, whose history is checked at the end; exit code 1 if anything is wrong.
 * `npm run chaos -- --check FILE` checks a history again. `npm run chaos -- --failover N` measures how
 * long a failover takes, N times each, and how long a member takes to catch up (`--behind ENTRIES`).
 */

const USAGE = `npm run chaos -- --seconds N --history FILE [--seed S] [--faults KIND,KIND]
npm run chaos -- --check FILE
npm run chaos -- --failover N [--behind ENTRIES]
Faults: ${Object.keys(FAULTS).join(", ")}`;

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 2;
}
// Sockets of clients that hang must not keep a run that is over.
process.exit();

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "60" },
      history: { type: "string", default: "chaos.jsonl" },
      seed: { type: "string" },
      faults: { type: "string" },
      check: { type: "string" },
      failover: { type: "string" },
      behind: { type: "string", default: "100000" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (values.check !== undefined) return tell(judge(await readHistory(values.check), []));
  const print = (line: string): void => console.log(line);
  if (values.failover !== undefined) {
    const times = wholeNumber("failover", values.failover);
    const entries = wholeNumber("behind", values.behind);
    return (await measureFailover({ times, entries, print })) ? 0 : 1;
  }
  const seconds = wholeNumber("seconds", values.seconds);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber("seed", values.seed);
  const kinds = kindsOf(values.faults);
  return tell(await runChaos({ seconds, path: values.history, seed, kinds, print }));
}

function tell({ report, verdicts }: ChaosResult): number {
  console.log(report);
  return verdicts.every(({ state }) => state === "ok") ? 0 : 1;
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new Error(`--${name} takes a whole number, and was given '${text}'\n${USAGE}`);
  }
  return value;
}

/** All kinds unless some are named; `none` is a run without faults. */
function kindsOf(text: string | undefined): readonly string[] {
  if (text === undefined) return Object.keys(FAULTS);
  const kinds = text.split(",").filter((kind) => kind !== "" && kind !== "none");
  const unknown = kinds.find((kind) => !Object.hasOwn(FAULTS, kind));
  if (unknown !== undefined) throw new Error(`There is no fault '${unknown}'\n${USAGE}`);
  return kinds;
}
