import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { LoadTarget } from "./load-connection.ts";
import type { LoadJob, LoadResult } from "./load-worker.ts";
import { type Peer, residentBytes, startCoffer } from "./peers.ts";
import { median, newTenant, operatorOf, runJob, tokenFor } from "./tenant-load.ts";

/**
 * What the others feel of a tenant at 100 times its quota: p99 of the paced requests of two quiet
 * tenants, with and without the flood, by turns. The flood comes from a process of its own: once at a
 * set pace, whatever is answered, and once from a thousand clients that each ask again as soon as they
 * are answered. Then 1,000,000 requests for tenants that nobody has, and what they leave in memory.
 */

const QUOTA = 50;
const FLOOD = 100 * QUOTA;
const QUIET_PER_SECOND = 200;
/** A window; short, so that windows to be compared are close together: hosts change by the minute. */
const SECONDS = 8;
/** Pairs of windows for each round that is asked for. */
const PAIRS = 3;
/** What a window's processes are given to be compiled. */
const SETTLE_SECONDS = 2;
const UNKNOWN = 1_000_000;

interface Flood {
  readonly name: string;
  readonly job: Partial<LoadJob>;
}

const FLOODS: readonly Flood[] = [
  { name: `${FLOOD} requests/s`, job: { connections: 20, streams: 2000, perSecond: FLOOD } },
  { name: "1,000 clients", job: { connections: 100, streams: 10 } },
];

const BASE = {
  requests: Number.MAX_SAFE_INTEGER,
  secondsMax: SETTLE_SECONDS + SECONDS,
  settleSeconds: SETTLE_SECONDS,
  keys: 1000,
  valueBytes: 256,
  firstKey: 0,
  sequential: false,
};

interface Quiet {
  readonly put: LoadTarget;
  readonly get: LoadTarget;
}

interface Window {
  readonly put: number;
  readonly get: number;
}

export async function benchFlood(rounds: number, unknown: number = UNKNOWN): Promise<void> {
  const peer = await startCoffer();
  const operator = operatorOf(peer);
  try {
    const limits = { requestsPerSecond: QUOTA };
    const noisy = await newTenant(operator, peer, { name: "noisy", limits });
    const quiet: Quiet = {
      put: await newTenant(operator, peer, { name: "quiet-put" }),
      get: await newTenant(operator, peer, { name: "quiet-get" }),
    };
    await quietWindow(quiet);
    for (const flood of FLOODS) await compare(peer, { quiet, noisy, flood, rounds });
    const token = await tokenFor(operator, "user:prober", ["*"]);
    await floodUnknown(peer, { ...peer.target, token }, unknown);
  } finally {
    await operator.close();
    await peer.stop();
  }
}

async function compare(
  peer: Peer,
  order: { quiet: Quiet; noisy: LoadTarget; flood: Flood; rounds: number },
): Promise<void> {
  const { quiet, noisy, flood, rounds } = order;
  const calm: Window[] = [];
  const flooded: Window[] = [];
  const floods: LoadResult[] = [];
  const cpuAlone: number[] = [];
  const cpu: number[] = [];
  for (let pair = 0; pair < rounds * PAIRS; pair++) {
    const started = cpuSeconds(peer.pid);
    calm.push(await quietWindow(quiet));
    cpuAlone.push((cpuSeconds(peer.pid) - started) / (SETTLE_SECONDS + SECONDS));
    const job = { ...BASE, workload: "put" as const, target: noisy, connections: 1, streams: 1 };
    // It begins earlier and ends later: its handshakes are no part of it.
    const secondsMax = SECONDS + 4 * SETTLE_SECONDS;
    const flooding = runJob({ ...job, ...flood.job, secondsMax, settleSeconds: 0 }, "background");
    await delay(SETTLE_SECONDS * 1000);
    const before = cpuSeconds(peer.pid);
    flooded.push(await quietWindow(quiet));
    cpu.push((cpuSeconds(peer.pid) - before) / (SETTLE_SECONDS + SECONDS));
    floods.push(await flooding);
  }
  const at = (windows: readonly Window[], of: keyof Window): number =>
    median(windows.map((window) => window[of]));
  const percent = (shares: readonly number[]): string => (median(shares) * 100).toFixed(0);
  process.stdout.write(`\nflood of ${flood.name} on a quota of ${QUOTA}/s, ${calm.length} pairs\n`);
  for (const of of ["put", "get"] as const) {
    const ratios = flooded.map((window, i) => window[of] / (calm[i] as Window)[of]);
    process.stdout.write(
      `  p99 of a quiet ${of}: ${at(calm, of).toFixed(2)} ms alone, ${at(flooded, of).toFixed(2)} ms ` +
        `beside it: ratio ${median(ratios).toFixed(2)} (pairs ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")})\n`,
    );
  }
  const answered = median(floods.map(({ perSecond }) => perSecond));
  const admitted = median(
    floods.map(({ requests, failed, seconds }) => (requests - failed) / seconds),
  );
  process.stdout.write(
    `  of the flood ${answered.toFixed(0)}/s were answered, ${admitted.toFixed(0)}/s served; ` +
      `the member used ${percent(cpu)} % of a processor, ${percent(cpuAlone)} % alone\n`,
  );
}

/** p99 of both, in milliseconds. */
async function quietWindow({ put, get }: Quiet): Promise<Window> {
  const paced = { ...BASE, connections: 2, streams: 100, perSecond: QUIET_PER_SECOND };
  const [puts, gets] = await Promise.all([
    runJob({ ...paced, workload: "put", target: put }),
    runJob({ ...paced, workload: "get", target: get }),
  ]);
  if (puts.failed + gets.failed > 0) throw new Error("Requests of a quiet tenant failed");
  return { put: puts.p99, get: gets.p99 };
}

async function floodUnknown(peer: Peer, target: LoadTarget, requests: number): Promise<void> {
  const job = { ...BASE, target, workload: "get" as const, connections: 10, streams: 20 };
  const run = async (count: number): Promise<void> => {
    const options = { requests: count, secondsMax: 3600, unknownTenants: true };
    const { failed } = await runJob({ ...job, ...options });
    if (failed !== count) throw new Error("A request for a tenant that nobody has was served");
  };
  await run(requests / 10);
  const before = residentBytes(peer.pid) / 2 ** 20;
  await run(requests);
  const after = residentBytes(peer.pid) / 2 ** 20;
  process.stdout.write(
    `\n${requests} requests for unknown tenants: resident ${before.toFixed(0)} MiB before, ` +
      `${after.toFixed(0)} MiB after\n`,
  );
}

/** Of all threads of the process, and of the children it waited for. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const TICKS_PER_SECOND = 100;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
