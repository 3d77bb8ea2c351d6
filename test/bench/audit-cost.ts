import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LoadTarget } from "./load-connection.ts";
import { median, runJob } from "./tenant-load.ts";

/**
 * What the audit log costs: puts against a member with it and one that was put together without, in
 * turn, both up all the time. The processor time of each put is the surer figure on a busy machine.
 */

const MEMBER = fileURLToPath(new URL("audit-member.js", import.meta.url));
const JOB = {
  workload: "put",
  connections: 100,
  streams: 10,
  secondsMax: 60,
  keys: 10_000,
  valueBytes: 256,
  firstKey: 0,
  sequential: false,
} as const;

interface Peer {
  readonly target: LoadTarget;
  /** Milliseconds of processor time that the member has taken, to 10 ms. */
  cpuMs(): number;
  stop(): Promise<void>;
}

async function start(mode: "on" | "off"): Promise<Peer> {
  const child = spawn(process.execPath, [MEMBER, mode], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return {
    target: JSON.parse(line) as LoadTarget,
    cpuMs: () => {
      // proc(5): utime and stime are the 14th and 15th field, in ticks of 1/100 s.
      const fields = readFileSync(`/proc/${child.pid}/stat`, "latin1").split(") ")[1]?.split(" ");
      return (Number(fields?.[11]) + Number(fields?.[12])) * 10;
    },
    stop: async () => {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

export async function benchAudit(requests: number, rounds: number): Promise<void> {
  const peers = { on: await start("on"), off: await start("off") };
  const found = { on: [] as number[], off: [] as number[] };
  const cpu = { on: [] as number[], off: [] as number[] };
  try {
    for (const { target } of Object.values(peers)) await runJob({ ...JOB, target, requests });
    for (let round = 0; round < rounds; round++) {
      // Each first in turn, so that what heats the machine hits both.
      const order = round % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const);
      for (const mode of order) {
        const before = peers[mode].cpuMs();
        const result = await runJob({ ...JOB, target: peers[mode].target, requests });
        found[mode].push(result.perSecond);
        cpu[mode].push(((peers[mode].cpuMs() - before) / result.requests) * 1000);
      }
    }
  } finally {
    await Promise.all([peers.on.stop(), peers.off.stop()]);
  }
  const show = (mode: "on" | "off"): string =>
    `put, 100 x 10, audit ${mode}: ${median(found[mode]).toFixed(0)} /s, ` +
    `${median(cpu[mode]).toFixed(0)} us of processor time each\n`;
  const ratio = (of: readonly number[], to: readonly number[]): string =>
    median(of.map((value, i) => value / (to[i] ?? Number.NaN))).toFixed(2);
  process.stdout.write(
    `${show("on")}${show("off")}on against off, median of ${rounds} rounds: ` +
      `${ratio(found.on, found.off)} of the throughput; by processor time ${ratio(cpu.off, cpu.on)}\n`,
  );
}
