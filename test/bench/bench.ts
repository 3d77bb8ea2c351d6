import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus, totalmem } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { LoadJob, LoadResult } from "./load-worker.ts";
import { startCofferCluster, startEtcdCluster } from "./cluster-peers.ts";
import { benchAudit } from "./audit-cost.ts";
import { benchCompaction } from "./compaction.ts";
import { benchFlood } from "./flood.ts";
import { benchIdentity } from "./identity.ts";
import { benchPolicy } from "./policy.ts";
import { benchRevocation } from "./revocation.ts";
import { benchTenantDelete } from "./tenant-delete.ts";
import { benchTenants } from "./tenants.ts";
import { type Peer, residentBytes, startCoffer, startEtcd } from "./peers.ts";
import { watchLatency } from "./watch-latency.ts";
import type { Workload } from "./workloads.ts";

/**
 * `npm run bench [-- --vs etcd] [--rounds N] [--requests N] [--members 3] [--big] [--compaction] [--flood] [--tenants]`:
 * runs
 * the same load against this build and Debian's etcd in turn, and prints medians and ratios.
 * `--members 3` measures clusters of three by their leaders instead. `--big` adds the cost of a request
 * at 1,000,000 keys against that at 1,000. Durable on both sides, TLS on both sides; Coffer also checks
 * a token and a policy, seals, and audits. `--compaction` measures instead how long removal holds the
 * event loop: of 100,000 changes, or of 1,000,000 with `--big`, and what a request of another tenant
 * waits while as many keys are removed. `--flood`: what the others feel of a
 * tenant at 100 times its quota. `--tenants`: what thousands of them cost, and the deletion of one of
 * 100,000 keys, or of 1,000,000 with `--big`.
 * `--identity`: what it costs to know who calls. `--revocation`: how long members of a cluster of three
 * still take what another one has revoked.
 * `--audit`: puts with the audit log on against off.
 * `--policy`: what decisions cost with 10,000 rows over 1,000 tenants, against plain casbin.
 */

interface Row {
  readonly name: string;
  readonly unit: "req/s" | "ms";
  readonly run: (peer: Peer) => Promise<number>;
}

const WORKER = fileURLToPath(new URL("load-worker.js", import.meta.url));
const KEYS = 10_000;
const VALUE_BYTES = 256;

async function load(
  peer: Peer,
  job: Partial<LoadJob> & { workload: Workload },
): Promise<LoadResult> {
  const full: LoadJob = {
    target: peer.target,
    connections: 100,
    streams: 10,
    requests: 20_000,
    secondsMax: 30,
    keys: KEYS,
    valueBytes: VALUE_BYTES,
    firstKey: 0,
    sequential: false,
    ...job,
  };
  const child = spawn(process.execPath, [WORKER], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(full));
  const [out] = await Promise.all([text(child.stdout), once(child, "exit")]);
  const result = JSON.parse(out) as LoadResult;
  if (result.failed > 0) throw new Error(`${result.failed} requests to ${peer.name} failed`);
  return result;
}

function rowsOf(requests: number): Row[] {
  const wide = (name: string, workload: Workload, count: number): Row => ({
    name,
    unit: "req/s",
    run: async (peer) => (await load(peer, { workload, requests: count })).perSecond,
  });
  return [
    {
      name: "put, serial",
      unit: "ms",
      run: async (peer) => {
        const job = { connections: 1, streams: 1, requests: Math.ceil(requests / 10) };
        return (await load(peer, { workload: "put", ...job })).p50;
      },
    },
    wide("put, 100 x 10", "put", requests),
    wide("get linearizable, 100 x 10", "get", requests),
    wide("get serializable, 100 x 10", "get-serializable", requests),
    {
      name: "range of 1,000, 10 x 1",
      unit: "req/s",
      run: async (peer) => {
        const job = { connections: 10, streams: 1, requests: Math.ceil(requests / 40), keys: 8000 };
        return (await load(peer, { workload: "range-1000", ...job })).perSecond;
      },
    },
    wide("txn (compare, put), 100 x 10", "txn", requests),
    {
      name: "watch, put to event",
      unit: "ms",
      run: async (peer) => median(await watchLatency(peer.target, Math.ceil(requests / 20))),
    },
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function print(cells: readonly string[]): void {
  process.stdout.write(
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(32) : cell.padStart(12))).join(" | ")} |\n`,
  );
}

function show(value: number, unit: Row["unit"]): string {
  return unit === "ms" ? `${value.toFixed(3)} ms` : `${Math.round(value)} /s`;
}

async function compare(peers: readonly Peer[], requests: number, rounds: number): Promise<void> {
  const header = ["load", ...peers.map((peer) => peer.name)];
  if (peers.length > 1) header.push("ratio");
  print(header);
  print(header.map(() => "---"));
  for (const row of rowsOf(requests)) {
    const found = new Map<Peer, number[]>(peers.map((peer) => [peer, []]));
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) found.get(peer)?.push(await row.run(peer));
    }
    const medians = peers.map((peer) => median(found.get(peer) ?? []));
    const [ours, theirs] = medians;
    const cells = [row.name, ...medians.map((value) => show(value, row.unit))];
    if (ours !== undefined && theirs !== undefined) cells.push((ours / theirs).toFixed(2));
    print(cells);
  }
}

/** Fills the store in key order. */
async function fill(peer: Peer, from: number, count: number, valueBytes: number): Promise<void> {
  const job = { requests: count, secondsMax: 600, sequential: true, firstKey: from, valueBytes };
  await load(peer, { workload: "put", ...job });
}

async function memory(): Promise<void> {
  const peer = await startCoffer();
  try {
    await fill(peer, 0, 100_000, 1024);
    await load(peer, { workload: "get", requests: 20_000, keys: 100_000 });
    const mib = residentBytes(peer.pid) / 2 ** 20;
    process.stdout.write(`\nresident memory with 100,000 keys of 1 KiB: ${mib.toFixed(0)} MiB\n`);
  } finally {
    await peer.stop();
  }
}

async function growth(requests: number, rounds: number): Promise<void> {
  const small = await startCoffer();
  const large = await startCoffer();
  try {
    await fill(small, 0, 1000, VALUE_BYTES);
    await fill(large, 0, 1_000_000, VALUE_BYTES);
    for (const workload of ["get", "put"] as const) {
      const ratios: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const few = await load(small, { workload, requests, keys: 1000 });
        const many = await load(large, { workload, requests, keys: 1_000_000 });
        ratios.push(few.perSecond / many.perSecond);
      }
      const ratio = median(ratios).toFixed(2);
      process.stdout.write(`cost of ${workload} at 1,000,000 keys against 1,000: ${ratio}\n`);
    }
  } finally {
    await Promise.all([small.stop(), large.stop()]);
  }
}

const { values } = parseArgs({
  options: {
    vs: { type: "string" },
    rounds: { type: "string", default: "3" },
    requests: { type: "string", default: "20000" },
    members: { type: "string", default: "1" },
    big: { type: "boolean", default: false },
    audit: { type: "boolean", default: false },
    compaction: { type: "boolean", default: false },
    policy: { type: "boolean", default: false },
    identity: { type: "boolean", default: false },
    revocation: { type: "boolean", default: false },
    flood: { type: "boolean", default: false },
    tenants: { type: "boolean", default: false },
  },
});
if (values.vs !== undefined && values.vs !== "etcd") {
  throw new Error(`--vs '${values.vs}' is not known; it can be 'etcd'`);
}
if (values.members !== "1" && values.members !== "3") {
  throw new Error(`--members '${values.members}' is not known; it can be 1 or 3`);
}
if (values.identity) {
  await benchIdentity();
  process.exit();
}
if (values.revocation) {
  await benchRevocation();
  process.exit();
}
if (values.tenants) {
  await benchTenants({ bigKeys: values.big ? 1_000_000 : 100_000 });
  process.exit();
}
if (values.flood) {
  await benchFlood(Number(values.rounds));
  process.exit();
}
if (values.policy) {
  await benchPolicy();
  process.exit();
}
if (values.audit) {
  await benchAudit(Number(values.requests), Number(values.rounds));
  process.exit();
}
if (values.compaction) {
  await benchCompaction(values.big ? 1_000_000 : 100_000);
  await benchTenantDelete(values.big ? 1_000_000 : 100_000);
  process.exit();
}
const requests = Number(values.requests);
const rounds = Number(values.rounds);
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
process.stdout.write(`Node ${process.version}, ${machine}; medians of ${rounds} rounds\n\n`);
const peers: Peer[] = [];
try {
  if (values.members === "3") {
    peers.push(await startCofferCluster());
    if (values.vs === "etcd") peers.push(await startEtcdCluster());
  } else {
    const coffer = await startCoffer();
    peers.push(coffer);
    if (values.vs === "etcd") peers.push(await startEtcd(coffer));
  }
  for (const peer of peers) await fill(peer, 0, KEYS, VALUE_BYTES);
  await compare(peers, requests, rounds);
} finally {
  for (const peer of peers) await peer.stop();
}
if (values.members === "1") await memory();
if (values.big) await growth(requests, rounds);
