import type { Client } from "../../src/client/mod.ts";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import { ClusterProcess } from "../e2e/cluster-process.ts";

/**
 * `npm run bench -- --revocation`: how long after the answer of one member the others still take what it
 * has revoked, or a right that it has taken away. Each member is asked for a local read again and
 * again, while others write through all of them.
 */

const ROUNDS = 30;
const WRITERS_EACH = 8;

const REFUSALS: ReadonlySet<ErrorCode> = new Set(["permission-denied", "invalid-token"]);

const key = Buffer.from("/k");

/** Milliseconds until each other member refused, over all rounds. */
type Delays = number[];

export async function benchRevocation(): Promise<void> {
  await using cluster = await ClusterProcess.start();
  await cluster.leader();
  const names = cluster.members.map(({ name }) => name);
  const admins = names.map((name) => cluster.client(name, { timeoutMs: 20_000 }));
  const endLoad = load(cluster, names);
  const revoked: Delays = [];
  const denied: Delays = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const by = round % names.length;
      const bench = { cluster, names, by, admins };
      revoked.push(...(await oneRound(bench, "invalid-token")));
      denied.push(...(await oneRound(bench, "permission-denied")));
    }
  } finally {
    const perSecond = await endLoad();
    await Promise.all(admins.map((admin) => admin.close()));
    process.stdout.write(`load: ${perSecond.toFixed(0)} puts/s over ${names.length} members\n`);
  }
  print("token revoked", revoked);
  print("policy row removed", denied);
}

interface Bench {
  readonly cluster: ClusterProcess;
  readonly names: readonly string[];
  /** The member that is asked to take it away. */
  readonly by: number;
  readonly admins: readonly Client[];
}

async function oneRound(bench: Bench, refusal: ErrorCode): Promise<Delays> {
  const { cluster, names, by, admins } = bench;
  const admin = admins[by] as Client;
  const row = { fields: ["p", "user:probe", "/k", "read", "allow"] };
  const list = { fields: ["p", "user:probe", "/k", "list", "allow"] };
  await admin.policyChange({ add: [row, list] });
  const order = { subject: "user:probe", tenants: ["default"], ttlSeconds: 600n };
  const { token, tokenId } = await admin.tokenIssue(order);
  const shown = { cert: undefined, key: undefined, token, timeoutMs: 20_000 };
  const probes = names.map((name) => probe(cluster.client(name, shown), refusal));
  await Promise.all(probes.map(({ began }) => began));
  if (refusal === "invalid-token") {
    const value = { issuer: "", tokenId };
    await admin.tokenRevoke({ target: { target: { $case: "token", value } } });
  } else await admin.policyChange({ remove: [row, list] });
  const answered = performance.now();
  const refused = await Promise.all(probes.map(({ ended }) => ended));
  if (refusal === "invalid-token") await admin.policyChange({ remove: [row, list] });
  return refused.filter((_, at) => at !== by).map((time) => Math.max(0, time - answered));
}

/** Reads from one member until it refuses: resolves to the time of the first request that it refused. */
function probe(
  client: Client,
  refusal: ErrorCode,
): { readonly began: Promise<void>; readonly ended: Promise<number> } {
  let begin: () => void = () => undefined;
  const began = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const run = async (): Promise<number> => {
    // Until the right has come to this member a local read is refused, too.
    for (let isGranted = false; ;) {
      const asked = performance.now();
      try {
        await client.range({ key, serializable: true });
        isGranted = true;
        begin();
      } catch (error) {
        const isRefused = error instanceof CofferError && REFUSALS.has(error.code);
        if (isRefused && !isGranted) continue;
        await client.close();
        if (error instanceof CofferError && error.code === refusal) return asked;
        throw error;
      }
    }
  };
  return { began, ended: run() };
}

/** Writes through all members; the returned function ends it and tells the puts per second. */
function load(cluster: ClusterProcess, names: readonly string[]): () => Promise<number> {
  const begun = performance.now();
  let isOver = false;
  let puts = 0;
  const value = Buffer.alloc(256, 1);
  const writers = names.map(async (name) => {
    await using client = cluster.client(name, { timeoutMs: 20_000 });
    const write = async (at: number): Promise<void> => {
      while (!isOver) {
        await client.put({ key: Buffer.from(`/load/${name}/${at}`), value });
        puts++;
      }
    };
    await Promise.all(Array.from({ length: WRITERS_EACH }, (_, at) => write(at)));
  });
  return async () => {
    isOver = true;
    await Promise.all(writers);
    return puts / ((performance.now() - begun) / 1000);
  };
}

function print(name: string, delays: Delays): void {
  const sorted = delays.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const worst = sorted.at(-1) ?? Number.NaN;
  process.stdout.write(
    `${name.padEnd(20)} refused by the other members after ${median.toFixed(1)} ms (median), ` +
      `${worst.toFixed(1)} ms (longest of ${sorted.length})\n`,
  );
}
