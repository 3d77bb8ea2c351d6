import { ClusterProcess } from "../e2e/cluster-process.ts";
import { table } from "./report.ts";
import { type Target, pause, textOfError } from "./world.ts";
import { type LoadOptions, WriteLoad } from "./write-load.ts";

/**
 * Figures of failover: how long nothing is acknowledged when the leader is killed or stopped under load,
 * and how long a member that was away takes to catch up. For a quiet machine.
 */

export interface FigureOptions {
  /** How often the leader is killed, and stopped, with each configuration. */
  readonly times: number;
  /** Log entries that the member which was away has to catch up. */
  readonly entries: number;
  readonly print: (line: string) => void;
}

interface Figure {
  readonly what: string;
  readonly value: string;
  readonly aim: string;
  readonly met: boolean;
}

const LOAD: LoadOptions = { writers: 8, restMs: 5, valueBytes: 100 };
const FAST = ["--heartbeat-ms", "50", "--election-ms", "250"];
const ANSWER_MS_MAX = 30_000;
const SETTLE_MS = 1500;

/** Prints a table. False if an aim was missed or a figure could not be had. */
export async function measureFailover(options: FigureOptions): Promise<boolean> {
  const { print, times, entries } = options;
  const figures: Figure[] = [];
  const add = async (what: string, measure: () => Promise<readonly Figure[]>): Promise<void> => {
    print(`Measuring: ${what}`);
    try {
      figures.push(...(await measure()));
    } catch (error) {
      figures.push({ what, value: textOfError(error), aim: "", met: false });
    }
  };
  const median = { defaults: 2000, fast: 600 };
  await add("kill -9, defaults", () =>
    killLeader({
      what: "leader killed, defaults",
      flags: [],
      times,
      medianMs: median.defaults,
      print,
    }),
  );
  await add("kill -9, fast", () =>
    killLeader({
      what: `leader killed, ${FAST.join(" ")}`,
      flags: FAST,
      times,
      medianMs: median.fast,
      print,
    }),
  );
  await add("graceful stop, defaults", () => stopLeader({ times, print }));
  await add("a member that was away", () => catchUp({ entries, print }));
  const rows = figures.map(({ what, value, aim, met }) => [what, value, aim, met ? "yes" : "NO"]);
  print(table([["figure", "measured", "aim", "met"], ...rows]));
  return figures.every(({ met }) => met);
}

function targetOf(cluster: ClusterProcess): Target {
  return {
    members: cluster.members.map(({ name }) => name),
    open: (member, options) => cluster.client(member, options),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

interface KillOptions {
  readonly what: string;
  readonly flags: readonly string[];
  readonly times: number;
  readonly medianMs: number;
  readonly print: (line: string) => void;
}

async function killLeader(options: KillOptions): Promise<readonly Figure[]> {
  const { what, flags, times, medianMs, print } = options;
  await using cluster = await ClusterProcess.start({ flags });
  await using load = new WriteLoad(targetOf(cluster), LOAD);
  const tookMs: number[] = [];
  const failures = await repeat({ times, cluster, print }, async () => {
    await settle(cluster, load);
    const leader = cluster.member(await cluster.leader());
    const killed = performance.now();
    await leader.kill();
    const { at } = await load.answerSince(killed, ANSWER_MS_MAX);
    tookMs.push(at - killed);
    print(`  ${leader.name}: next write acknowledged after ${(at - killed).toFixed(0)} ms`);
    await leader.start();
  });
  const middle = medianOf(tookMs);
  const most = Math.max(...tookMs);
  return [
    {
      what: `${what}: next acknowledged write, median of ${times}`,
      value: `${middle.toFixed(0)} ms, at most ${most.toFixed(0)} ms${failures.text}`,
      aim: `median within ${medianMs} ms`,
      met: middle <= medianMs && failures.count === 0,
    },
  ];
}

const GAP_MS_AIM = 200;

async function stopLeader(options: {
  readonly times: number;
  readonly print: (line: string) => void;
}): Promise<readonly Figure[]> {
  const { times, print } = options;
  await using cluster = await ClusterProcess.start();
  await using load = new WriteLoad(targetOf(cluster), LOAD);
  const gaps: number[] = [];
  let failed = 0;
  let retried = 0;
  const failures = await repeat({ times, cluster, print }, async () => {
    await settle(cluster, load);
    const leader = cluster.member(await cluster.leader());
    const counts = { failed: load.failed.length, retried: load.retried.length };
    const began = performance.now();
    const code = await leader.stop();
    await pause(SETTLE_MS, new AbortController().signal);
    const gap = load.longestGap(began, performance.now());
    gaps.push(gap);
    failed += load.failed.length - counts.failed;
    retried += load.retried.length - counts.retried;
    const whys = load.failed.slice(counts.failed).map(({ why }) => why);
    print(
      `  ${leader.name} (exit ${code}): gap ${gap.toFixed(0)} ms, ` +
        `${load.retried.length - counts.retried} sent again, failed twice: ${whys.join("; ") || "none"}`,
    );
    await leader.start();
  });
  const most = Math.max(...gaps);
  return [
    {
      what: `leader stopped: longest time without an acknowledged write, of ${times}`,
      value: `median ${medianOf(gaps).toFixed(0)} ms, at most ${most.toFixed(0)} ms${failures.text}`,
      aim: `under ${GAP_MS_AIM} ms`,
      met: most < GAP_MS_AIM && failures.count === 0,
    },
    {
      what: "leader stopped: requests that failed though sent again once",
      value: `${failed} (${retried} were sent again)`,
      aim: "none",
      met: failed === 0,
    },
  ];
}

/** One that goes wrong is told of, and the others go on with all members up again. */
async function repeat(
  about: {
    readonly times: number;
    readonly cluster: ClusterProcess;
    readonly print: (line: string) => void;
  },
  once: () => Promise<void>,
): Promise<{ readonly count: number; readonly text: string }> {
  let count = 0;
  for (let i = 0; i < about.times; i++) {
    try {
      await once();
    } catch (error) {
      count++;
      about.print(`  Failed: ${textOfError(error)}`);
      await about.cluster.startAll().catch((cause: unknown) => about.print(textOfError(cause)));
    }
  }
  return { count, text: count === 0 ? "" : `, ${count} failed` };
}

/** Waits until all members serve and writes are answered. */
async function settle(cluster: ClusterProcess, load: WriteLoad): Promise<void> {
  await cluster.leader();
  await load.answerSince(performance.now(), ANSWER_MS_MAX);
  await pause(SETTLE_MS, new AbortController().signal);
}

const CATCH_UP_MS_MAX = 120_000;
const CATCH_UP_MS_AIM = 10_000;
const POLL_MS = 50;
/** Makes entries fast; each of the log may hold several writes. */
const BACKLOG: LoadOptions = { writers: 16, restMs: 0, valueBytes: 100 };

async function catchUp(options: {
  readonly entries: number;
  readonly print: (line: string) => void;
}): Promise<readonly Figure[]> {
  const { entries, print } = options;
  await using cluster = await ClusterProcess.start();
  const leader = await cluster.leader();
  const away = cluster.members.find(({ name }) => name !== leader);
  if (away === undefined) throw new Error("There is no follower");
  const target = {
    ...targetOf(cluster),
    members: cluster.members.filter((one) => one !== away).map(({ name }) => name),
  };
  await away.kill();
  const from = await lastIndex(cluster, leader);
  print(`  ${away.name} is away; writing ${entries} log entries`);
  const writes = await writeEntries(cluster, { target, leader, until: from + entries });
  const behind = (await lastIndex(cluster, leader)) - from;
  await using load = new WriteLoad(target, LOAD);
  await pause(SETTLE_MS, new AbortController().signal);
  const began = performance.now();
  const process = away.spawn();
  await Promise.race([process.gone, reached(cluster, { name: away.name, leader })]);
  const took = performance.now() - began;
  const meanwhile = load.answered.filter(({ at }) => at >= began).length;
  const rate = (meanwhile / took) * 1000;
  return [
    {
      what: `a member ${behind} entries (${writes} writes) behind: caught up, its start included`,
      value: `${(took / 1000).toFixed(1)} s, with ${rate.toFixed(0)} writes/s meanwhile`,
      aim: `within ${CATCH_UP_MS_AIM / 1000} s`,
      met: took <= CATCH_UP_MS_AIM && process.isRunning,
    },
  ];
}

async function lastIndex(cluster: ClusterProcess, name: string): Promise<number> {
  await using client = cluster.client(name);
  return Number((await client.status({})).raftIndex);
}

/** Writes until the leader's log is at `until`; answers how many writes that took. */
async function writeEntries(
  cluster: ClusterProcess,
  about: { readonly target: Target; readonly leader: string; readonly until: number },
): Promise<number> {
  await using load = new WriteLoad(about.target, BACKLOG);
  let before = -1;
  while ((await lastIndex(cluster, about.leader)) < about.until) {
    if (load.answered.length === before) throw new Error("Writes are not answered any more");
    before = load.answered.length;
    await pause(1000, new AbortController().signal);
  }
  return load.answered.length;
}

/** Resolves when a member has applied what the leader had a moment ago. */
async function reached(
  cluster: ClusterProcess,
  { name, leader }: { readonly name: string; readonly leader: string },
): Promise<void> {
  await using leading = cluster.client(leader);
  await using client = cluster.client(name, { timeoutMs: 1000, dialTimeoutMs: 1000 });
  const end = performance.now() + CATCH_UP_MS_MAX;
  while (performance.now() < end) {
    const wanted = (await leading.status({})).raftIndex;
    await pause(POLL_MS, new AbortController().signal);
    const applied = await client.status({}).then(
      ({ raftAppliedIndex }) => raftAppliedIndex,
      () => -1n, // It does not serve yet.
    );
    if (applied >= wanted) return;
  }
  throw new Error(`${name} did not catch up within ${CATCH_UP_MS_MAX} ms`);
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
