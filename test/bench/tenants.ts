import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../src/client/mod.ts";
import type { LoadTarget } from "./load-connection.ts";
import { MAIN, type Peer, coffersIn, freePort, lineStarting, residentBytes } from "./peers.ts";
import { median, newTenant, operatorOf, runJob } from "./tenant-load.ts";

/**
 * What tenants cost: making one, one that is idle in memory, a start with thousands of them, and, for
 * the others, the deletion of one that is large.
 */

const TENANTS = 5000;
const PUTS_PER_SECOND = 200;
const SECONDS = 10;
const SETTLE_SECONDS = 2;

export async function benchTenants(options: {
  readonly tenants?: number;
  readonly bigKeys: number;
}): Promise<void> {
  const { tenants = TENANTS, bigKeys } = options;
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-tenants-"));
  try {
    const emptyStart = await timeStart(folder);
    const member = await start(folder);
    try {
      await creation(member, tenants);
    } finally {
      await stop(member.child);
    }
    const fullStart = await timeStart(folder);
    say(`start: ${emptyStart.toFixed(2)} s without tenants, ${fullStart.toFixed(2)} s with them`);
    const again = await start(folder);
    try {
      const mib = residentBytes(again.pid) / 2 ** 20;
      say(`resident after that start: ${mib.toFixed(0)} MiB`);
      await deletion(again, bigKeys);
    } finally {
      await stop(again.child);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function creation(member: Peer, tenants: number): Promise<void> {
  const operator = operatorOf(member);
  const times: number[] = [];
  try {
    // So that the figure is of tenants, and not of code that runs for the first time.
    for (let n = 0; n < 200; n++) await operator.tenantCreate({ name: `warm-${n}` });
    const before = residentBytes(member.pid);
    for (let n = 0; n < tenants; n++) {
      const began = performance.now();
      await operator.tenantCreate({ name: `tenant-${n}`, owner: "user:owner" });
      times.push(performance.now() - began);
    }
    const each = (residentBytes(member.pid) - before) / 1024 / tenants;
    times.sort((a, b) => a - b);
    const p99 = times[Math.floor(times.length * 0.99)] ?? Number.NaN;
    say(`making a tenant: median ${median(times).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
    say(`${tenants} tenants: ${each.toFixed(1)} KiB of resident memory each`);
  } finally {
    await operator.close();
  }
}

async function deletion(member: Peer, keys: number): Promise<void> {
  const operator = operatorOf(member);
  try {
    const quiet = await newTenant(operator, member, { name: "quiet" });
    const big = await newTenant(operator, member, { name: "big" });
    await fill(big, keys);
    await puts(quiet);
    const alone = await puts(quiet);
    const [beside] = await Promise.all([
      puts(quiet),
      delay(SETTLE_SECONDS * 1000).then(() => remove(operator)),
    ]);
    say(
      `p99 of a put: ${alone.toFixed(2)} ms alone, ${beside.toFixed(2)} ms while another tenant of ` +
        `${keys} keys is deleted: ratio ${(beside / alone).toFixed(2)}`,
    );
  } finally {
    await operator.close();
  }
}

async function remove(operator: Client): Promise<void> {
  const began = performance.now();
  await operator.tenantDelete({ name: "big" });
  say(`deleting it was answered after ${(performance.now() - began).toFixed(1)} ms`);
}

const BASE = {
  workload: "put" as const,
  keys: 1000,
  valueBytes: 256,
  firstKey: 0,
  sequential: false,
};

async function fill(target: LoadTarget, keys: number): Promise<void> {
  const load = { connections: 20, streams: 20, requests: keys, secondsMax: 3600 };
  const { failed } = await runJob({ ...BASE, ...load, target, keys, sequential: true });
  if (failed > 0) throw new Error(`${failed} keys of the large tenant were not written`);
}

/** p99 in milliseconds. */
async function puts(target: LoadTarget): Promise<number> {
  const pace = { connections: 2, streams: 100, perSecond: PUTS_PER_SECOND };
  const requests = Number.MAX_SAFE_INTEGER;
  const time = { settleSeconds: SETTLE_SECONDS, secondsMax: SETTLE_SECONDS + SECONDS };
  const result = await runJob({ ...BASE, ...pace, ...time, target, requests });
  if (result.failed > 0) throw new Error("Puts of a quiet tenant failed");
  return result.p99;
}

type Member = Peer & { readonly child: ChildProcess };

async function start(folder: string): Promise<Member> {
  const port = await freePort();
  const args = [MAIN, "dev", "--data-dir", folder, "--client-port", String(port)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await lineStarting(child, "ready");
  return { ...coffersIn(folder, port), pid: child.pid ?? 0, child, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  await once(child, "exit");
}

/** Seconds from the command to its first request served. */
async function timeStart(folder: string): Promise<number> {
  // Without the first start's making of keys and certificates.
  await stop((await start(folder)).child);
  const began = performance.now();
  const { child } = await start(folder);
  const seconds = (performance.now() - began) / 1000;
  await stop(child);
  return seconds;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
