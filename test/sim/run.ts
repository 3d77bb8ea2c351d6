import { type Command, leaseId, memberId } from "../../src/core/types/mod.ts";
import { put } from "../fsm/fixtures.ts";
import { CLUSTER, call, guard, insist, leaderOf, propose } from "./calls.ts";
import { runClient } from "./clients.ts";
import type { Coverage } from "./coverage.ts";
import { endFaults, present, resume, runFaults, runKeeper } from "./faults.ts";
import { peerUrl } from "./life.ts";
import { SimMember } from "./member.ts";
import { NO_MUTANT, type Mutant } from "./mutants.ts";
import { check } from "./truth.ts";
import { Watcher } from "./watchers.ts";
import { TENANT, type World, createWorld } from "./world.ts";

/** One run: a storm of faults, then healing, after which all must work again, agree and go on. */

export interface RunOptions {
  readonly seed: number;
  /** Virtual milliseconds under faults. */
  readonly stormMs?: number;
  /** Events after which the faults end, if that is earlier. */
  readonly stepsMax?: number;
  readonly mutant?: Mutant;
  readonly print?: (line: string) => void;
}

export interface Outcome {
  readonly seed: number;
  /** What went wrong, if anything did. */
  readonly violation: string | undefined;
  /** The event in which it did, or the last one. */
  readonly step: number;
  readonly traceHash: string;
  readonly lastLines: readonly string[];
  readonly coverage: Coverage;
}

const STORM_MS = 12_000;
const CLIENTS = 3;
/** Milliseconds within which a healed cluster must serve; a snapshot is tried again after a minute. */
const HEAL_MS_MAX = 150_000;

export async function simulate(options: RunOptions): Promise<Outcome> {
  const { seed, stormMs = STORM_MS, stepsMax = Number.POSITIVE_INFINITY, print } = options;
  const { mutant = NO_MUTANT } = options;
  const unbreak = mutant.breakCode?.();
  try {
    const world = createWorld({ seed, stormMs, mutant, ...(print && { print }) });
    let isDone = false;
    const { engine } = world;
    scenario(world, stepsMax).then(
      () => (isDone = true),
      (error: unknown) => engine.fail(error),
    );
    const end = stormMs + 2 * HEAL_MS_MAX;
    await engine.run(end, () => isDone);
    if (!isDone) engine.fail(new Error(`liveness: not healed at ${engine.now} ms: ${why(world)}`));
    stopAll(world);
    const { failure } = engine;
    return {
      seed,
      violation: failure === undefined ? undefined : `${failure.name}: ${failure.message}`,
      step: engine.steps,
      traceHash: engine.traceHash,
      lastLines: engine.lastLines,
      coverage: world.coverage,
    };
  } finally {
    unbreak?.();
  }
}

function stopAll(world: World): void {
  world.isOver = true;
  for (const { life } of world.members) life?.end();
}

async function scenario(world: World, stepsMax: number): Promise<void> {
  const { engine, plan } = world;
  const voters = world.seeds.map(({ id }) => id);
  for (const seed of world.seeds) {
    world.members.push(new SimMember(world, seed, { voters, seeds: world.seeds }));
  }
  for (const member of world.members) member.start();
  await begin(world);
  const watchers = [
    new Watcher(world, "w1", { key: "k", rangeEnd: "l" }),
    new Watcher(world, "w2", { key: "k1", rangeEnd: "" }),
    new Watcher(world, "w3", { key: "\0", rangeEnd: "\0" }),
  ];
  const tasks = [
    ...Array.from({ length: CLIENTS }, (_, i) => runClient(world, `c${i + 1}`)),
    ...watchers.map((watcher) => watcher.run()),
    runKeeper(world),
    runFaults(world),
  ];
  for (const task of tasks) task.catch((error: unknown) => engine.fail(error));
  const end = engine.now + plan.stormMs;
  while (engine.now < end && engine.steps < stepsMax) await engine.sleep(50);
  endFaults(world);
  while (world.members.some(({ life }) => (life?.busyUntil ?? 0) > engine.now)) {
    await engine.sleep(50);
  }
  await heal(world);
  await Promise.all(world.operations);
  // A voter may have been added that nobody has started yet, and without it there is no majority.
  await heal(world);
  // One that nobody waited for any more may have come late.
  while (world.truth.isSuspended(TENANT)) await resume(world);
  await checkLeases(world);
  world.isOver = true;
  await converge(world, watchers);
}

/** The first entries of a cluster. */
async function begin(world: World): Promise<void> {
  for (const { id, name } of world.seeds) {
    const member = { id, name: "", peerUrls: [peerUrl(name)], clientUrls: [], isLearner: false };
    if (world.truth.fsm.reader.members().some((one) => one.id === id)) continue;
    await insist(world, CLUSTER, { kind: "member", member }, "begin");
  }
  const command: Command = { kind: "tenant-create", id: TENANT, name: "acme", records: [] };
  await insist(world, CLUSTER, command, "begin");
}

/** Somebody leads, all members of the configuration are up and have what was applied, and serve. */
async function heal(world: World): Promise<void> {
  const { engine, truth } = world;
  const target = truth.appliedIndex;
  const since = engine.now;
  while (!isWhole(world, target)) {
    check(engine.now - since < HEAL_MS_MAX, () => `liveness: not healed: ${why(world)}`);
    await engine.sleep(50);
  }
  world.coverage.add("milliseconds until healed", engine.now - since);
  await Promise.all(present(world).map((member) => serves(world, member)));
}

/** Milliseconds that a member may need after a full disk, or to learn of a new leader. */
const SERVE_MS_MAX = 5000;

/** The member reads and writes. */
async function serves(world: World, member: SimMember): Promise<void> {
  const { engine } = world;
  const last = engine.now + SERVE_MS_MAX;
  for (;;) {
    const { outcome } = await propose(world, member, {
      tenant: TENANT,
      command: { kind: "put", request: put("z", member.name) },
      client: "heal",
    });
    const read = await call(world, member, (node) => node.readIndex());
    if ((outcome.kind === "ok" && read.kind === "ok") || !present(world).includes(member)) return;
    check(engine.now < last, () => `liveness: ${member.name} does not serve: ${why(world)}`);
    await engine.sleep(100);
  }
}

function isWhole(world: World, target: number): boolean {
  if (leaderOf(world) === undefined) return false;
  const table = world.truth.fsm.reader.members();
  return table.every(({ id, name }) => {
    const member = world.members.find((one) => one.id === id);
    const isThere = member?.life?.node !== undefined && name !== "";
    return isThere && member.applied.index >= target;
  });
}

function why(world: World): string {
  const { truth } = world;
  const at = world.members.map((member) => {
    const status = member.life?.node?.status();
    const role = status === undefined ? "down" : `${status.role} in term ${status.term}`;
    const flags = `${member.isRemoved ? " removed" : ""}${status?.blocked ?? ""}`;
    return `${member.name} (${member.id}) ${role} at ${member.applied.index}${flags}`;
  });
  const table = truth.fsm.reader.members().map(({ id, name }) => `${id} "${name}"`);
  return `entry ${truth.appliedIndex}; ${at.join(", ")}; members ${table.join(", ")}`;
}

/** The longest time that a client of the storm asks a lease for, in seconds. */
const TTL_MAX = 4;

/** Leases end in time while somebody leads, whoever it is. */
async function checkLeases(world: World): Promise<void> {
  const { engine, truth } = world;
  const id = leaseId(BigInt(1_000_000 + world.nextId++));
  const ttl = 2;
  await insist(world, TENANT, { kind: "lease-grant", id, ttl }, "lease");
  const granted = engine.now;
  await engine.sleep(world.random.below(1500));
  const leader = leaderOf(world);
  const to = present(world).find((one) => one !== leader)?.id ?? memberId(0n);
  let moved = 0;
  if (leader !== undefined && to !== 0n) {
    const since = engine.now;
    await call(world, leader, (node) => node.moveLeader(to));
    moved = engine.now - since;
  }
  const name = `${TENANT}/${String(id)}`;
  const latest = granted + ttl * 1000 + 1000 + moved;
  while (truth.heldLeases().includes(name)) {
    check(
      engine.now <= latest,
      () => `a lease of ${ttl} s outlived its time by a second: ${leaseClocks(world)}`,
    );
    await engine.sleep(20);
  }
  // Those of the storm: nobody renews them any more.
  const last = engine.now + (TTL_MAX + 1) * 1000;
  while (truth.heldLeases().length > 0) {
    check(
      engine.now <= last,
      () => `leases outlive their time: ${truth.heldLeases().join(" ")}; ${leaseClocks(world)}`,
    );
    await engine.sleep(50);
  }
}

function leaseClocks(world: World): string {
  const clocks = present(world).map(({ name, life }) => `${name} ${life!.node!.leaseNow()}`);
  const { fsm } = world.truth;
  return `${clocks.join(", ")}, applied ${fsm.leaseTime}, next end ${fsm.nextLeaseDeadline()}`;
}

/** All have applied the same, and watches have told of all. */
async function converge(world: World, watchers: readonly Watcher[]): Promise<void> {
  const { engine, truth } = world;
  const since = engine.now;
  world.isOver = false;
  const isSame = (): boolean =>
    present(world).every(({ applied }) => applied.index === truth.appliedIndex) &&
    watchers.every((watcher) => watcher.isComplete);
  while (!isSame()) {
    check(engine.now - since < HEAL_MS_MAX, () => `members or watches stay behind: ${why(world)}`);
    await engine.sleep(50);
  }
  world.isOver = true;
  for (const { life } of present(world)) {
    guard(world, () => truth.state(life!.fsm!, world.tenants));
  }
}
