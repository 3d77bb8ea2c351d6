import { readFileSync } from "node:fs";
import type { LoadTarget } from "./load-connection.ts";
import { type LoadJob, type LoadResult, isWorking } from "./load-worker.ts";
import { type Peer, residentBytes, startCoffer } from "./peers.ts";
import { median, newTenant, operatorOf, runJob, tokenFor } from "./tenant-load.ts";

/**
 * What the others feel of a tenant at 100 times its quota: p99 of the paced requests of two quiet
 * tenants, with and without the flood. The flood comes and goes every few seconds for as long as they are
 * measured, so that what else happens on the machine falls on both alike. It comes from a process of
 * its own: once at a set pace, whatever is answered, and once from a thousand clients that each ask again
 * as soon as they are answered. Then 1,000,000 requests for tenants that nobody has, and what they leave
 * in memory.
 */

const QUOTA = 50;
const FLOOD = 100 * QUOTA;
const QUIET_PER_SECOND = 200;
/** How long the flood comes, and how long it stays away. */
const STRETCH_MS = 3000;
/** What a stretch begins with is not measured: answers to the flood are held back for up to a second. */
const EDGE_MS = 1000;
/** Stretches of each kind for each round that is asked for. */
const STRETCHES = 20;
/** What a process is given to be compiled. */
const SETTLE_SECONDS = 3;
/** Draws of as many stretches from those that were, for the range in which a ratio lies. */
const DRAWS = 2000;
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

/** The milliseconds that each request took, by the stretch of time in which it was begun. */
interface Stretches {
  readonly alone: readonly (readonly number[])[];
  readonly beside: readonly (readonly number[])[];
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
  const secondsMax = SETTLE_SECONDS + (2 * rounds * STRETCHES * STRETCH_MS) / 1000;
  const base = { ...BASE, secondsMax, workload: "put" as const };
  const job = { ...base, target: noisy, connections: 1, streams: 1, ...flood.job };
  const paced = { connections: 2, streams: 100, perSecond: QUIET_PER_SECOND, samples: true };
  const used = countProcessor(peer.pid);
  const [flooding, puts, gets] = await Promise.all([
    runJob({ ...job, stretchMs: STRETCH_MS }, "background"),
    runJob({ ...base, ...paced, target: quiet.put }),
    runJob({ ...base, ...paced, workload: "get", target: quiet.get }),
  ]);
  const shares = used.stop();
  if (puts.failed + gets.failed > 0) throw new Error("Requests of a quiet tenant failed");
  process.stdout.write(`\nflood of ${flood.name} on a quota of ${QUOTA}/s\n`);
  tellOf("put", stretchesOf(puts));
  tellOf("get", stretchesOf(gets));
  // It came for half of the time.
  const answered = flooding.perSecond * 2;
  const admitted = ((flooding.requests - flooding.failed) / flooding.seconds) * 2;
  process.stdout.write(
    `  of the flood ${answered.toFixed(0)}/s were answered, ${admitted.toFixed(0)}/s served; ` +
      `the member used ${percent(shares.beside)} % of a processor, ${percent(shares.alone)} % alone\n`,
  );
}

/** The times of each stretch's requests, without those of its beginning. */
function stretchesOf({ samples = [] }: LoadResult): Stretches {
  const byNumber = new Map<number, number[]>();
  for (const [begun, took] of samples) {
    if (begun % STRETCH_MS < EDGE_MS) continue;
    const number = Math.floor(begun / STRETCH_MS);
    const stretch = byNumber.get(number);
    if (stretch === undefined) byNumber.set(number, [took]);
    else stretch.push(took);
  }
  const stretches = [...byNumber].map(([number, times]) => ({
    times,
    isBeside: isWorking(number * STRETCH_MS, STRETCH_MS),
  }));
  return {
    alone: stretches.filter(({ isBeside }) => !isBeside).map(({ times }) => times),
    beside: stretches.filter(({ isBeside }) => isBeside).map(({ times }) => times),
  };
}

/** The range is drawn by whole stretches, since what falls on one request falls on its neighbours. */
function tellOf(name: string, { alone, beside }: Stretches): void {
  const count = Math.min(alone.length, beside.length);
  const pairs = Array.from({ length: count }, (_, at) => at);
  const ratioOf = (drawn: readonly number[]): number =>
    p99(drawn.map((at) => beside[at] ?? [])) / p99(drawn.map((at) => alone[at] ?? []));
  const ratios = Array.from({ length: DRAWS }, () =>
    ratioOf(pairs.map(() => Math.floor(Math.random() * count))),
  ).sort((a, b) => a - b);
  const at = (share: number): string => (ratios[Math.floor(share * DRAWS)] ?? 0).toFixed(2);
  process.stdout.write(
    `  p99 of a quiet ${name}: ${p99(alone).toFixed(2)} ms alone, ${p99(beside).toFixed(2)} ms beside it: ` +
      `ratio ${ratioOf(pairs).toFixed(2)} (90 %: ${at(0.05)} to ${at(0.95)}; ${count} stretches each)\n`,
  );
}

function p99(stretches: readonly (readonly number[])[]): number {
  const times = stretches.flat().sort((a, b) => a - b);
  return times[Math.floor(0.99 * times.length)] ?? Number.NaN;
}

function percent(share: number): string {
  return (share * 100).toFixed(0);
}

/** Tells the processor time that a process uses in each kind of stretch, as a share of one processor. */
function countProcessor(pid: number): { stop(): { alone: number; beside: number } } {
  const used = { alone: [] as number[], beside: [] as number[] };
  let before: number | undefined;
  let timer: NodeJS.Timeout;
  const toEdge = (): number => STRETCH_MS - (Date.now() % STRETCH_MS);
  const count = (): void => {
    const now = cpuSeconds(pid);
    const was = isWorking(Date.now() - STRETCH_MS / 2, STRETCH_MS) ? used.beside : used.alone;
    if (before !== undefined) was.push(((now - before) * 1000) / STRETCH_MS);
    before = now;
    timer = setTimeout(count, toEdge());
  };
  timer = setTimeout(count, toEdge());
  return {
    stop: () => {
      clearTimeout(timer);
      return { alone: median(used.alone), beside: median(used.beside) };
    },
  };
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
