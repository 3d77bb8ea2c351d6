import {
  type MemberChange,
  type MemberId,
  memberId,
  systemActor,
  tenantId,
} from "../../src/core/types/mod.ts";
import { CLUSTER, anyLive, call, insist, leaderOf, liveMembers, propose } from "./calls.ts";
import { peerUrl } from "./life.ts";
import { SimMember } from "./member.ts";
import { TENANT, type World } from "./world.ts";

/** What goes wrong, and those who mend it. */

/** Names that a cluster may have, those of replaced and added members too. */
const NAMES_MAX = 6;

export async function runFaults(world: World): Promise<void> {
  const { engine, plan, random } = world;
  const kinds = [...plan.faults];
  while (!world.isCalm && kinds.length > 0) {
    await engine.sleep(1 + random.below(2 * plan.faultEveryMs));
    if (world.isCalm) return;
    const kind = kinds[random.below(kinds.length)]!;
    world.coverage.add(`fault: ${kind}`);
    FAULT[kind]?.(world);
  }
}

type Act = (world: World) => void;

const FAULT: Readonly<Record<string, Act>> = {
  crash: (world) => target(world)?.crash(false, "by itself"),
  power: (world) => target(world)?.crash(true, "by itself"),
  "crash-in-write": (world) => {
    const life = target(world)?.life;
    if (life === undefined) return;
    if (world.random.below(3) === 0) life.armedSends = 1 + world.random.below(4);
    else life.armed = 1 + world.random.below(8);
  },
  graceful: (world) => void target(world)?.stop(),
  pause: (world) => {
    const life = target(world)?.life;
    if (life === undefined) return;
    const { engine, random } = world;
    const until = engine.now + 50 + random.below(random.below(3) === 0 ? 8000 : 1500);
    engine.note(`${life.name} is paused until ${until} ms`);
    life.busyUntil = Math.max(life.busyUntil, until);
  },
  partition: (world) => partition(world, { both: true }),
  "one-way": (world) => partition(world, { both: false }),
  offline: (world) => {
    const member = target(world);
    if (member === undefined) return;
    world.engine.note(`${member.name} has no broker`);
    world.network.offline.add(member.name);
    undoLater(world, () => world.network.offline.delete(member.name));
  },
  loss: (world) => {
    world.network.loss = 0.02 + world.random.below(30) / 100;
    undoLater(world, () => (world.network.loss = 0));
  },
  "slow-net": (world) => {
    world.network.latencyMs = 5 + world.random.below(80);
    world.network.jitterMs = world.random.below(100);
    undoLater(world, () => calmNetwork(world));
  },
  "slow-disk": (world) => {
    const files = target(world)?.files;
    if (files === undefined) return;
    files.saveMs = 2 + world.random.below(60);
    undoLater(world, () => (files.saveMs = 0));
  },
  "full-disk": (world) => {
    const member = target(world);
    if (member === undefined) return;
    world.engine.note(`${member.name}'s disk is full`);
    member.files.isFull = true;
    undoLater(world, () => (member.files.isFull = false));
  },
  "wall-clock": (world) => {
    const member = target(world);
    if (member !== undefined) member.skewMs += world.random.below(60_000) - 30_000;
  },
  transfer: (world) => void transfer(world),
  replace: (world) => void world.operations.push(changeMembers(world, "replace")),
  add: (world) => void world.operations.push(changeMembers(world, "add")),
  tenants: (world) => void changeTenants(world),
  suspend: (world) => void world.operations.push(suspend(world)),
};

/** Often the leader: there most can go wrong. */
function target(world: World): SimMember | undefined {
  const up = world.members.filter((member) => member.isUp);
  const leader = world.random.below(3) === 0 ? leaderOf(world) : undefined;
  return leader ?? up[world.random.below(up.length)];
}

/** Undoes a fault after a while; all are undone when it becomes calm. */
function undoLater(world: World, undo: () => void): void {
  world.engine.after(200 + world.random.below(4000), undefined, undo);
}

function partition(world: World, { both }: { readonly both: boolean }): void {
  const { random, network, members, engine } = world;
  const names = members.map(({ name }) => name);
  const leader = leaderOf(world)?.name;
  const inside = new Set(
    random.below(2) === 0 && leader !== undefined
      ? [leader]
      : names.filter(() => random.below(2) === 0),
  );
  engine.note(`${[...inside].join(" ")} cut off${both ? "" : ", one way"}`);
  const isOut = random.below(2) === 0;
  for (const one of inside) {
    for (const other of names) {
      if (inside.has(other)) continue;
      if (both || isOut) network.cut.add(`${one}>${other}`);
      if (both || !isOut) network.cut.add(`${other}>${one}`);
    }
  }
  undoLater(world, () => network.cut.clear());
}

function calmNetwork({ network }: World): void {
  network.latencyMs = 1;
  network.jitterMs = 4;
}

/** Everything works from here on. */
export function endFaults(world: World): void {
  world.isCalm = true;
  const { network, engine } = world;
  engine.note("all faults end");
  network.cut.clear();
  network.offline.clear();
  network.loss = 0;
  calmNetwork(world);
  for (const { files, life } of world.members) {
    files.isFull = false;
    files.saveMs = 0;
    if (life === undefined) continue;
    life.armed = undefined;
    life.armedSends = undefined;
  }
}

async function transfer(world: World): Promise<void> {
  const leader = leaderOf(world);
  const to = target(world);
  if (leader === undefined || to === undefined) return;
  const outcome = await call(world, leader, (node) => node.moveLeader(to.id));
  world.coverage.add(outcome.kind === "ok" ? "leader transfers" : "leader transfers refused");
}

async function changeTenants(world: World): Promise<void> {
  const { random, tenants } = world;
  const member = anyLive(world);
  if (member === undefined) return;
  const old = tenants[1 + random.below(Math.max(1, tenants.length - 1))];
  if (old !== undefined && random.below(3) === 0) {
    const command = { kind: "tenant-delete", id: old } as const;
    const { outcome } = await propose(world, member, { tenant: CLUSTER, command, client: "op" });
    if (outcome.kind === "ok") world.coverage.add("tenants deleted");
    return;
  }
  const number = String(world.nextId++).padStart(12, "0");
  const id = tenantId(`22222222-2222-4222-8222-${number}`);
  tenants.push(id);
  const command = { kind: "tenant-create", id, name: `t${number}`, records: [] } as const;
  const { outcome } = await propose(world, member, { tenant: CLUSTER, command, client: "op" });
  if (outcome.kind === "ok") world.coverage.add("tenants created");
}

/** Suspends the tenant that all work on, with other limits, and resumes it a while later. */
async function suspend(world: World): Promise<void> {
  const { random, engine, coverage } = world;
  const limits = random.below(2) === 0 ? {} : { keysMax: 3 + random.below(3) };
  const compaction =
    random.below(2) === 0
      ? ({ kind: "none" } as const)
      : ({ kind: "count", revisions: 5 + random.below(20) } as const);
  const update = { kind: "tenant-update", id: TENANT } as const;
  await insist(world, CLUSTER, { ...update, suspended: true, limits, compaction }, "op");
  coverage.add("tenants suspended");
  await engine.sleep(random.below(2000));
  await resume(world);
}

export async function resume(world: World): Promise<void> {
  const command = { kind: "tenant-update", id: TENANT, suspended: false } as const;
  await insist(world, CLUSTER, command, "op");
}

const OPERATOR = systemActor("operator");

async function changeMembers(world: World, kind: "replace" | "add"): Promise<void> {
  const { random } = world;
  const table = world.truth.fsm.reader.members();
  const learner = table.find((one) => one.isLearner);
  if (learner !== undefined && random.below(2) === 0) {
    await change(world, { kind: "promote", id: learner.id });
    return;
  }
  const free = freeName(world);
  if (kind === "add" && table.length < 5 && free !== undefined) {
    await add(world, free);
    return;
  }
  const gone = table[random.below(table.length)];
  if (gone === undefined || table.length < 2) return;
  await change(world, { kind: "remove", id: gone.id });
  if (kind === "replace" && gone.name !== "") await add(world, gone.name);
}

async function add(world: World, name: string): Promise<void> {
  const id = memberId(BigInt(100 + world.nextId++));
  const isLearner = world.random.below(3) > 0;
  await change(world, { kind: "add", id, peerUrls: [peerUrl(name)], isLearner });
}

/** Asked again a few times; what has come of it is in the table. */
async function change(world: World, wanted: MemberChange): Promise<void> {
  const { engine, coverage } = world;
  for (let i = 0; i < 3; i++) {
    const member = anyLive(world);
    if (member === undefined) return;
    const { id } = wanted;
    const outcome = await call(world, member, (node) => node.changeMembers(wanted, OPERATOR));
    const said = outcome.kind === "error" ? outcome.code : outcome.kind;
    engine.note(`${wanted.kind} member ${id} at ${member.name}: ${said}`);
    coverage.add(`members: ${wanted.kind} ${outcome.kind === "ok" ? "done" : said}`);
    if (outcome.kind === "ok") return;
    await engine.sleep(300);
  }
}

function freeName(world: World): string | undefined {
  for (let i = 1; i <= NAMES_MAX; i++) {
    const name = `m${i}`;
    if (!world.members.some((one) => one.name === name && !one.isRemoved)) return name;
  }
  return undefined;
}

/** Milliseconds after which a removed member that has not heard of it is switched off. */
const SWITCH_OFF_MS = 4000;

/** Starts members that are down, and those that were added; switches off those that were removed. */
export async function runKeeper(world: World): Promise<void> {
  const { engine, random, truth, coverage } = world;
  const removedAt = new Map<SimMember, number>();
  while (!world.isOver) {
    await engine.sleep(world.isCalm ? 50 : 100 + random.below(300));
    const { reader } = truth.fsm;
    for (const member of world.members) {
      if (member.isRemoved) continue;
      if (reader.isRemovedMember(member.id)) {
        // Whoever asks the cluster sees it only then; until then it is needed to make that known. A
        // learner knows it too, and cannot tell those who vote.
        const voters = present(world).filter(({ id }) => isVoter(world, id));
        if (!voters.some(({ life }) => life!.fsm!.reader.isRemovedMember(member.id))) {
          if (!member.isUp) member.start();
          continue;
        }
        const since = removedAt.get(member) ?? engine.now;
        removedAt.set(member, since);
        if (engine.now - since < SWITCH_OFF_MS) continue;
        coverage.add("removed members that were switched off");
        member.crash(false, "as it was removed");
        member.isRemoved = true;
      } else if (!member.isUp && (world.isCalm || random.below(4) === 0)) member.start();
    }
    for (const { name, peerUrls } of reader.members()) {
      if (name !== "") continue;
      const host = /\/\/([a-z0-9-]+)/.exec(peerUrls[0] ?? "")?.[1] ?? "";
      if (world.members.some((one) => one.name === host && !one.isRemoved)) continue;
      engine.note(`${host} is set up`);
      coverage.add("members set up with an empty disk");
      world.members.push(new SimMember(world, { id: memberId(0n), name: host }, NOBODY));
    }
  }
}

function isVoter({ truth }: World, id: MemberId): boolean {
  return truth.fsm.reader.members().some((one) => one.id === id && !one.isLearner);
}

const NOBODY = { voters: [], seeds: [] } as const;

/** The members of the configuration that take part. */
export function present(world: World): readonly SimMember[] {
  const ids = new Set(world.truth.fsm.reader.members().map(({ id }) => id));
  return liveMembers(world).filter((member) => ids.has(member.id));
}
