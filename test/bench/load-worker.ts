import { randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type LoadTarget, startConnection } from "./load-connection.ts";
import { type Workload, workloadMessage, workloadPath } from "./workloads.ts";

/**
 * The generator's process: reads a job from standard input as JSON, runs it, and prints the result as
 * one line of JSON.
 */

export interface LoadJob {
  readonly target: LoadTarget;
  readonly workload: Workload;
  readonly connections: number;
  readonly streams: number;
  readonly requests: number;
  /** Stop after this long, whatever has been sent. */
  readonly secondsMax: number;
  /** The first seconds are not measured: this process is slow until it is compiled. Default 0. */
  readonly settleSeconds?: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** First key number; keys are written in order from it when `sequential`. */
  readonly firstKey: number;
  readonly sequential: boolean;
  /** Requests begun each second, all connections together; undefined: as soon as one is answered. */
  readonly perSecond?: number;
  /**
   * Requests are begun in every second stretch of this many milliseconds only, by the wall clock, which
   * all processes read alike (`isWorking`).
   */
  readonly stretchMs?: number;
  /** Every request's time is in the result. */
  readonly samples?: boolean;
  /** Each request names a tenant of its own that nobody has. */
  readonly unknownTenants?: boolean;
}

export interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  /** Of those that were measured. */
  readonly seconds: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly samples?: readonly Sample[];
}

/** When a request was begun, in milliseconds since 1970, and how many milliseconds it took. */
export type Sample = readonly [begun: number, took: number];

/** Whether a job with stretches of `stretchMs` has requests begun at `ms` since 1970. */
export function isWorking(ms: number, stretchMs: number): boolean {
  return Math.floor(ms / stretchMs) % 2 === 1;
}

export async function runLoad(job: LoadJob): Promise<LoadResult> {
  const value = randomBytes(job.valueBytes);
  const latencies: number[] = [];
  const samples: [number, number][] = [];
  const settle = job.settleSeconds ?? 0;
  let sent = 0;
  let failed = 0;
  let early = 0;
  let started = 0;
  const path = workloadPath(job.workload);
  const { stretchMs } = job;
  const connections = Array.from({ length: job.connections }, () =>
    startConnection(job.target, {
      path,
      streams: job.streams,
      perSecond: job.perSecond === undefined ? undefined : job.perSecond / job.connections,
      isResting: stretchMs === undefined ? undefined : () => !isWorking(Date.now(), stretchMs),
      nextField:
        job.unknownTenants === true ? () => ["coffer-tenant", `nobody-${sent}`] : undefined,
      nextMessage: () => {
        const late = (performance.now() - started) / 1000 > job.secondsMax;
        if (sent >= job.requests || late) return undefined;
        const n = sent++;
        const key = job.sequential ? n : Math.floor(Math.random() * job.keys);
        return workloadMessage(job.workload, job.firstKey + key, value);
      },
      onAnswer: (seconds, ok) => {
        if (!ok) failed++;
        const begun = (performance.now() - started) / 1000 - seconds;
        if (begun < settle) {
          early++;
          return;
        }
        latencies.push(seconds);
        if (job.samples === true) samples.push([Date.now() - seconds * 1000, seconds * 1000]);
      },
    }),
  );
  await Promise.all(connections.map((connection) => connection.connected));
  // From here on, as etcd's own benchmark counts: what a connection costs is paid once.
  started = performance.now();
  await Promise.all(connections.map((connection) => connection.run()));
  const seconds = (performance.now() - started) / 1000 - settle;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    (latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0) * 1000;
  return {
    requests: early + latencies.length,
    failed,
    seconds,
    perSecond: latencies.length / seconds,
    p50: at(0.5),
    p99: at(0.99),
    ...(job.samples === true && { samples }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const job = JSON.parse(await text(process.stdin)) as LoadJob;
  process.stdout.write(`${JSON.stringify(await runLoad(job))}\n`);
}
