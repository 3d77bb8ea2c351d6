import type { ConfChangeSingle, ConfState, Message } from "../../../src/core/raft/mod.ts";
import { RULES } from "../../../src/core/raft/rules.ts";
import { createChecks, Violation } from "./checks.ts";
import {
  compact,
  crash,
  createWorld,
  ELECTION_TICKS,
  type Fault,
  finishSave,
  handleReady,
  type SimMember,
  type World,
} from "./world.ts";

/** One run: random steps under faults, then healing, after which all must agree and go on. */

export const NO_FAULT: Fault = { rules: RULES, earlyAck: false, save: (ready) => ready };

export interface Outcome {
  /** What went wrong, if anything did. */
  readonly violation: string | undefined;
  readonly applied: number;
}

export function simulate(seed: number, steps: number, fault: Fault = NO_FAULT): Outcome {
  const checks = createChecks();
  try {
    const world = createWorld(seed, fault, checks);
    for (let i = 0; i < steps; i++) step(world);
    heal(world);
    return { violation: undefined, applied: checks.appliedMax };
  } catch (error) {
    // Assertions of the core count: they notice broken invariants as well.
    if (!(error instanceof Error)) throw error;
    const message = `${error.name}: ${error.message}`;
    return { violation: message, applied: checks.appliedMax };
  }
}

/** Actions and how often they are drawn. */
const ACTIONS: readonly (readonly [weight: number, act: (world: World, on: SimMember) => void])[] =
  [
    [260, (w, m) => void handleReady(w, m)],
    [180, saveOne],
    [500, (w) => deliverOne(w)],
    [60, (_, m) => m.raft.tick()],
    [40, propose],
    [30, read],
    [10, (_, m) => void (m.durable = m.applied)],
    [6, compact],
    [4, crash],
    [3, cutOrMend],
    [2, fallAsleep],
    [1, (w, m) => void (m.slowDisk = w.slowDisks && !m.slowDisk)],
    [5, (_, m) => m.raft.campaign()],
    [6, changeMembers],
    [2, (w, m) => void m.raft.transferLeader(anyMember(w).id)],
    [2, (w, m) => m.raft.reportUnreachable(anyMember(w).id)],
    [2, (w, m) => m.raft.reportSnapshot(anyMember(w).id, w.random.below(2) === 0)],
  ];
const NO_CONTEXT = new Uint8Array(0);

const WEIGHTS = ACTIONS.reduce((sum, [weight]) => sum + weight, 0);

function step(world: World): void {
  let drawn = world.random.below(WEIGHTS);
  const member = anyMember(world);
  for (const [weight, act] of ACTIONS) {
    drawn -= weight;
    if (drawn >= 0) continue;
    if (member.asleep && world.random.below(8) > 0) return;
    act(world, member);
    world.checks.acted(member);
    return;
  }
}

function saveOne(world: World, member: SimMember): void {
  if (member.slowDisk && world.random.below(40) > 0) return;
  const before = member.disk.hardState;
  finishSave(world, member);
  // Right after a promise is the time at which a crash can do most harm.
  if (member.disk.hardState !== before && world.random.below(60) === 0) crash(world, member);
}

function deliverOne(world: World): void {
  const { network, random } = world;
  if (network.length === 0) return;
  // Mostly in order, sometimes not; old messages wait long when others overtake them.
  const at = random.below(3) > 0 ? 0 : random.below(network.length);
  const message = network[at] as Message;
  const duplicated = random.below(20) === 0;
  if (!duplicated) network.splice(at, 1);
  if (network.length > 200) network.splice(random.below(100), 50);
  if (random.below(12) === 0 || world.cut.has(`${message.from}>${message.to}`)) {
    if (message.kind === "snapshot" && random.below(2) === 0) {
      memberAt(world, message.from).raft.reportSnapshot(message.to, false);
    }
    return;
  }
  deliver(world, message);
}

function deliver(world: World, message: Message): void {
  const to = memberAt(world, message.to);
  if (to.asleep && world.random.below(4) > 0) return;
  to.raft.step(message);
  world.checks.acted(to);
}

function propose(world: World, member: SimMember): void {
  const target = world.random.below(3) === 0 ? member : (leaderOf(world) ?? member);
  const value = world.nextValue++;
  target.raft.propose(Uint8Array.of(value & 0xff, value >> 8, ...new Uint8Array(value % 5)));
}

/** Half of the reads go to a member that believes to lead, rightly or not. */
function read(world: World, anyone: SimMember): void {
  const { members, random } = world;
  const leaders = members.filter((one) => one.raft.role === "leader");
  const asked = random.below(2) === 0 ? undefined : leaders[random.below(leaders.length)];
  const member = asked ?? anyone;
  const ctx = world.nextCtx++;
  world.checks.readAsked(member, ctx);
  if (member.raft.readIndex(ctx).kind === "accepted") member.reads.set(ctx, ctx);
}

/** Mostly one at a time: with a quorum paused nothing happens. */
function fallAsleep({ members, random }: World, member: SimMember): void {
  for (const one of members) if (random.below(4) > 0) one.asleep = false;
  member.asleep = true;
}

function cutOrMend(world: World): void {
  const { random, cut, members } = world;
  if (cut.size > 0 && random.below(2) > 0) {
    cut.clear();
    return;
  }
  const one = (random.below(2) === 0 ? (leaderOf(world) ?? anyMember(world)) : anyMember(world)).id;
  for (const { id } of members) {
    if (id === one) continue;
    // One way or both, with one peer or with all.
    if (random.below(4) > 0) cut.add(`${one}>${id}`);
    if (random.below(4) > 0) cut.add(`${id}>${one}`);
  }
}

function changeMembers(world: World, member: SimMember): void {
  const { random } = world;
  const leader = leaderOf(world) ?? member;
  const types: readonly ConfChangeSingle["type"][] = ["add-voter", "add-learner", "remove"];
  const count = 1 + random.below(2);
  const changes = Array.from({ length: count }, (): ConfChangeSingle => {
    const type = types[random.below(3)] as ConfChangeSingle["type"];
    return { type, id: anyMember(world).id };
  });
  const transition = random.below(3) === 0 ? "joint-explicit" : "auto";
  const isLeave = random.below(3) === 0;
  leader.raft.proposeConfChange(
    isLeave
      ? { transition: "auto", changes: [], context: NO_CONTEXT }
      : { transition, changes, context: NO_CONTEXT },
  );
}

/** Everything works from here on: a leader must come, and all must apply the same. */
function heal(world: World): void {
  world.cut.clear();
  for (const member of world.members) {
    member.asleep = false;
    member.slowDisk = false;
  }
  settle(world, ELECTION_TICKS * 10);
  // Without PreVote a member that cannot win may get in the way of one that can, again and again.
  for (let i = 0; i < 100 && leaderOf(world) === undefined; i++) settle(world, ELECTION_TICKS);
  // The network may have swallowed snapshots; a node always learns of that in the end.
  for (const { raft } of world.members) {
    for (const { id } of world.members) raft.reportSnapshot(id, false);
  }
  settle(world, ELECTION_TICKS * 4);
  const target = world.checks.appliedMax;
  const leader = leaderOf(world);
  if (leader === undefined) throw new Violation("liveness: no leader after healing");
  // A joint configuration entered explicitly would wait for ever.
  leader.raft.proposeConfChange({ transition: "auto", changes: [], context: NO_CONTEXT });
  leader.raft.propose(Uint8Array.of(1));
  const ctx = world.nextCtx++;
  world.checks.readAsked(leader, ctx);
  leader.raft.readIndex(ctx);
  leader.reads.set(ctx, ctx);
  settle(world, ELECTION_TICKS * 10);
  const { checks } = world;
  if (checks.appliedMax <= target) throw new Violation("liveness: nothing commits after healing");
  const now = leaderOf(world) ?? leader;
  for (const member of world.members) {
    if (isIn(newestConf(world), member) && member.applied.index < checks.appliedMax) {
      const lag = `${member.applied.index} of ${checks.appliedMax}`;
      throw new Violation(`liveness: member ${member.id} stays behind at ${lag}`);
    }
  }
  if (now === leader && leader.reads.has(ctx)) throw new Violation("liveness: a read hangs");
}

function settle(world: World, ticks: number): void {
  for (let i = 0; i < ticks; i++) {
    const confState = newestConf(world);
    for (const member of world.members) {
      // A removed member is switched off: without PreVote it would depose leaders for ever (§6).
      if (isIn(confState, member)) member.raft.tick();
      world.checks.acted(member);
    }
    for (let busy = true; busy;) {
      busy = false;
      for (const member of world.members) {
        while (handleReady(world, member) || finishSave(world, member)) {
          busy = true;
          world.checks.acted(member);
        }
      }
      const messages = world.network;
      world.network = [];
      for (const message of messages) deliver(world, message);
      busy ||= messages.length > 0;
    }
  }
}

function newestConf({ members }: World): ConfState {
  return members.reduce((best, one) => (one.applied.index > best.applied.index ? one : best))
    .applied.confState;
}

function isIn(confState: ConfState, { id }: SimMember): boolean {
  const { voters, learners, votersOutgoing } = confState;
  return [voters, learners, votersOutgoing].some((ids) => ids.includes(id));
}

function anyMember(world: World): SimMember {
  return world.members[world.random.below(world.members.length)] as SimMember;
}

function memberAt(world: World, id: bigint): SimMember {
  return world.members[Number(id) - 1] as SimMember;
}

/** The leader of the newest term, as far as one believes to be. */
function leaderOf(world: World): SimMember | undefined {
  return world.members
    .filter((member) => member.raft.role === "leader")
    .reduce<SimMember | undefined>(
      (best, one) => (best === undefined || one.raft.term > best.raft.term ? one : best),
      undefined,
    );
}
