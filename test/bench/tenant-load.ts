import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "../../src/client/mod.ts";
import type { LoadTarget } from "./load-connection.ts";
import type { LoadJob, LoadResult } from "./load-worker.ts";
import type { Peer } from "./peers.ts";

/** Load on single tenants of one member, each from a process of its own. */

const WORKER = fileURLToPath(new URL("load-worker.js", import.meta.url));
const TTL_SECONDS = 24 * 3600;

/** A client that runs the cluster. */
export function operatorOf({ target }: Peer): Client {
  const { ca, token } = target;
  return connect({ endpoints: [`https://127.0.0.1:${target.port}`], ca, token, tenant: "system" });
}

type Limits = NonNullable<Parameters<Client["tenantCreate"]>[0]>["limits"];

/** Makes a tenant, and the way to it as its owner. */
export async function newTenant(
  operator: Client,
  { target }: Peer,
  wanted: { readonly name: string; readonly limits?: NonNullable<Limits> },
): Promise<LoadTarget> {
  const owner = `user:${wanted.name}`;
  await operator.tenantCreate({ ...wanted, owner });
  return { ...target, token: await tokenFor(operator, owner, [wanted.name]) };
}

export async function tokenFor(
  operator: Client,
  subject: string,
  tenants: readonly string[],
): Promise<string> {
  const order = { subject, tenants: [...tenants], ttlSeconds: TTL_SECONDS };
  return (await operator.tokenIssue(order)).token;
}

/**
 * Runs a job in a process of its own; requests that fail are in the result. One of `background` takes a
 * processor only while nobody else wants it: what it costs others is the member's doing, and not this
 * machine's.
 */
export async function runJob(
  job: LoadJob,
  rank: "measured" | "background" = "measured",
): Promise<LoadResult> {
  const child = spawn(process.execPath, [WORKER], { stdio: ["pipe", "pipe", "inherit"] });
  if (rank === "background" && child.pid !== undefined) {
    setPriority(child.pid, constants.priority.PRIORITY_LOW);
  }
  child.stdin.end(JSON.stringify(job));
  const [out] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return JSON.parse(out) as LoadResult;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
