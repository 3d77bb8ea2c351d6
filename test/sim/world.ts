import { type MemberId, type TenantId, memberId, tenantId } from "../../src/core/types/mod.ts";
import type { KnownMember } from "../../src/node/mod.ts";
import { type Prng, createPrng } from "../../src/stdx/mod.ts";
import { Coverage } from "./coverage.ts";
import { Engine } from "./engine.ts";
import type { Mutant } from "./mutants.ts";
import { Network } from "./network.ts";
import type { SimMember } from "./member.ts";
import { Truth } from "./truth.ts";

/** The members of one run, and all around them. */

export const HEARTBEAT_MS = 100;
export const ELECTION_MS = 500;
export const REQUEST_TIMEOUT_MS = 3000;

/** The tenant that is always there. */
export const TENANT: TenantId = tenantId("11111111-1111-4111-8111-111111111111");

/** What a seed makes of its run. */
export interface Plan {
  readonly members: number;
  /** Entries after which a log is compacted. */
  readonly snapshotEntries: number;
  /** Bytes beside the state in a snapshot. */
  readonly snapshotPadding: number;
  /** The faults that may come, each drawn with its weight. */
  readonly faults: ReadonlySet<string>;
  /** Milliseconds between faults, on average. */
  readonly faultEveryMs: number;
  /** Virtual milliseconds under faults. */
  readonly stormMs: number;
}

export interface World {
  readonly seed: number;
  readonly random: Prng;
  readonly engine: Engine;
  readonly network: Network;
  readonly coverage: Coverage;
  readonly truth: Truth;
  readonly plan: Plan;
  readonly mutant: Mutant;
  readonly seeds: readonly KnownMember[];
  readonly members: SimMember[];
  /** Tenants that somebody made. */
  readonly tenants: TenantId[];
  nextId: number;
  /** Changes of members, and suspensions with their end, that somebody has begun. */
  readonly operations: Promise<void>[];
  /** Faults are over: clients go on until everything is seen to work. */
  isCalm: boolean;
  isOver: boolean;
}

export interface WorldOptions {
  readonly seed: number;
  readonly stormMs: number;
  readonly mutant: Mutant;
  readonly print?: (line: string) => void;
}

export const FAULTS: readonly string[] = [
  "crash",
  "power",
  "crash-in-write",
  "graceful",
  "pause",
  "partition",
  "one-way",
  "offline",
  "loss",
  "slow-net",
  "slow-disk",
  "full-disk",
  "wall-clock",
  "transfer",
  "replace",
  "add",
  "tenants",
  "suspend",
];

export function createWorld({ seed, stormMs, mutant, print }: WorldOptions): World {
  const random = createPrng(seed);
  const engine = new Engine(print);
  const coverage = new Coverage();
  const plan = planOf(random, stormMs, mutant);
  const seeds = Array.from({ length: plan.members }, (_, i) => ({
    id: memberId(BigInt(i + 1)),
    name: `m${i + 1}`,
  }));
  const voters: readonly MemberId[] = seeds.map(({ id }) => id);
  const world: World = {
    seed,
    random,
    engine,
    network: new Network(engine, random, coverage),
    coverage,
    truth: new Truth(engine, coverage, voters),
    plan,
    mutant,
    seeds,
    members: [],
    tenants: [TENANT],
    nextId: 1,
    operations: [],
    isCalm: false,
    isOver: false,
  };
  return world;
}

function planOf(random: Prng, stormMs: number, mutant: Mutant): Plan {
  const draw = random.below(10);
  const members = draw === 0 ? 1 : draw < 8 ? 3 : 5;
  // Not all at once: some failures need others to be absent.
  const share = 2 + random.below(3);
  const isHasty = mutant.isHasty === true;
  const faults = new Set(FAULTS.filter(() => random.below(4) < share && !isHasty));
  for (const fault of mutant.needs ?? []) faults.add(fault);
  return {
    members: mutant.members ?? members,
    snapshotEntries: random.below(3) === 0 && !mutant.compacts ? 1000 : 5 + random.below(20),
    snapshotPadding: random.below(8) === 0 ? 400_000 : 0,
    faults,
    faultEveryMs: (300 + random.below(900)) / (isHasty ? 4 : 1),
    stormMs,
  };
}

/** Unique in the run. */
export function newId(world: World, kind: string): string {
  return `${kind}${world.nextId++}`;
}
