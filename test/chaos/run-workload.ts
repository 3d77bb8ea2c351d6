import { setMaxListeners } from "node:events";
import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { readFinals, converge } from "./final-read.ts";
import { createHistoryWriter } from "./history.ts";
import { runKvClient } from "./kv-clients.ts";
import { runLeaseClient } from "./lease-clients.ts";
import { WATCHES, runPastWatches, runWatchClient } from "./watch-clients.ts";
import { type Target, type World, createWorld, textOfError } from "./world.ts";

/** The clients of a run, from the first request to what the members hold at the end. */

export interface WorkloadOptions {
  readonly target: Target;
  /** Where the history goes. */
  readonly path: string;
  readonly seed: number;
  /** Clients that read and write. */
  readonly clients?: number;
  /** Mean time that each rests between two requests. */
  readonly restMs?: number;
  /** What goes on meanwhile: resolves when the run is to end, with all faults healed. */
  readonly meanwhile: (world: World) => Promise<void>;
  readonly print: (line: string) => void;
}

const CLIENTS = 10;
const REST_MS = 50;
const LEASE_CLIENTS = 4;

/**
 * Runs the clients and writes the history. Answers what went wrong beside the history: members that do
 * not come back. Throws only if the history cannot be written.
 */
export async function runWorkload(options: WorkloadOptions): Promise<readonly string[]> {
  const { target, path, seed, clients = CLIENTS, restMs = REST_MS, print } = options;
  const history = createHistoryWriter(path);
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const world = createWorld(target, history, stop.signal);
  const seeds = createPrng(seed);
  const prng = (): Prng => createPrng(seeds.below(2 ** 31));
  let tellLast: (revision: number) => void = () => undefined;
  const last = new Promise<number>((resolve) => (tellLast = resolve));
  const kvClients = Array.from({ length: clients }, (_, first) =>
    runKvClient(world, { prng: prng(), first, restMs }),
  );
  const pastWatches = runPastWatches(world, { prng: prng(), first: 0 });
  const leasesStop = new AbortController();
  const leaseWorld = { ...world, stop: leasesStop.signal };
  const leaseClients = Array.from({ length: LEASE_CLIENTS }, (_, first) =>
    runLeaseClient(leaseWorld, { prng: prng(), first }),
  );
  const watchers = WATCHES.map((range, first) => runWatchClient(world, { range, first, last }));
  const problems: string[] = [];
  await options.meanwhile(world).catch((error: unknown) => problems.push(textOfError(error)));
  print("Letting the clients end");
  // Leases have their time while others write: from a time without writes nothing follows for them.
  leasesStop.abort();
  await Promise.all(leaseClients);
  stop.abort();
  await Promise.all([...kvClients, pastWatches]);
  print("Waiting for the members to agree");
  const { revision, problems: missing } = await converge(world);
  problems.push(...missing);
  tellLast(revision);
  await Promise.all(watchers);
  print(`Reading what each member holds at revision ${revision}`);
  await readFinals(world, revision);
  history.close();
  return problems;
}
