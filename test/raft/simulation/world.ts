import type {
  ConfState,
  Entry,
  Message,
  Raft,
  Ready,
  SnapshotMeta,
} from "../../../src/core/raft/mod.ts";
import { createRaftWithRules } from "../../../src/core/raft/raft.ts";
import type { Rules } from "../../../src/core/raft/rules.ts";
import { memberId, type MemberId } from "../../../src/core/types/mod.ts";
import { createPrng, type Prng } from "../../../src/stdx/mod.ts";
import { createMemoryLog, type MemoryLog, NO_CONF } from "../memory-log.ts";
import type { Checks } from "./checks.ts";

/** The members of one run, their disks, and the network between them. */

export interface Fault {
  /** Replaces single rules of the core: a mutant. */
  readonly rules: Rules;
  /** Acknowledges saves before they are on the disk. */
  readonly earlyAck: boolean;
  /** Changes what is written to the disk, or nothing. */
  readonly save: (ready: Ready) => Ready;
}

export interface SimMember {
  readonly id: MemberId;
  raft: Raft;
  readonly disk: MemoryLog;
  /** What was handed out to be saved and is not on the disk; lost in a crash. */
  saving: Ready[];
  /** What the state machine has applied, and what of it survives a crash. */
  applied: Checkpoint;
  durable: Checkpoint;
  /** Reads that wait for their answer: the least index that it may have. */
  readonly reads: Map<number, number>;
  asleep: boolean;
  slowDisk: boolean;
}

export interface Checkpoint {
  readonly index: number;
  readonly confState: ConfState;
}

export interface World {
  readonly random: Prng;
  readonly fault: Fault;
  readonly checks: Checks;
  readonly members: SimMember[];
  readonly options: { readonly preVote: boolean; readonly checkQuorum: boolean };
  readonly messageBytesMax: number;
  /** Whether members with slow disks are drawn; saves then pile up there. */
  readonly slowDisks: boolean;
  network: Message[];
  /** Pairs "from>to" that lose everything. */
  readonly cut: Set<string>;
  nextCtx: number;
  nextValue: number;
}

export const ELECTION_TICKS = 4;

export function createWorld(seed: number, fault: Fault, checks: Checks): World {
  const random = createPrng(seed);
  const count = 3 + Math.max(0, random.below(5) - 2);
  const votersCount = random.below(2) === 0 ? count : 3;
  const options = { preVote: random.below(2) === 0, checkQuorum: random.below(2) === 0 };
  const ids = Array.from({ length: count }, (_, i) => memberId(BigInt(i + 1)));
  const confState = { ...NO_CONF, voters: ids.slice(0, votersCount) };
  const world: World = {
    random,
    fault,
    checks,
    members: [],
    options,
    messageBytesMax: random.below(2) === 0 ? 1 : 12,
    slowDisks: random.below(2) === 0,
    network: [],
    cut: new Set(),
    nextCtx: 1,
    nextValue: 1,
  };
  for (const [i, id] of ids.entries()) {
    // Members beyond the first voters know nothing until they are added.
    const at = { index: 0, confState: i < votersCount ? confState : NO_CONF };
    const disk = createMemoryLog();
    const rest = {
      saving: [],
      applied: at,
      durable: at,
      reads: new Map(),
      asleep: false,
      slowDisk: false,
    };
    const raft = startRaft(world, id, disk, at);
    world.members.push({ id, raft, disk, ...rest });
  }
  checks.started(confState);
  return world;
}

/** Takes one Ready and does what need not wait: sends, and queues the save. */
export function handleReady(world: World, member: SimMember): boolean {
  const ready = member.raft.ready();
  if (ready === undefined) return false;
  world.checks.became(member, ready.leadership);
  world.network.push(...ready.messages);
  for (const { ctx, index } of ready.readStates) {
    if (index !== undefined) world.checks.readAnswered(member, ctx, index);
    member.reads.delete(ctx);
  }
  apply(world, member, ready.committedEntries);
  if (ready.save !== undefined) {
    member.saving.push(ready);
    if (world.fault.earlyAck) acknowledge(world, member, ready);
  }
  return true;
}

/** The oldest save reaches the disk. */
export function finishSave(world: World, member: SimMember): boolean {
  const ready = member.saving.shift();
  if (ready === undefined) return false;
  const written = world.fault.save(ready);
  member.disk.save(written);
  if (written.snapshot !== undefined) installSnapshot(member, written.snapshot);
  world.checks.saved(member, written.entries);
  if (!world.fault.earlyAck) acknowledge(world, member, ready);
  return true;
}

/** The process dies: what was not on the disk is gone. Some of what was under way may be there. */
export function crash(world: World, member: SimMember): void {
  let survive = world.random.below(member.saving.length + 1);
  while (survive-- > 0) {
    const ready = member.saving.shift() as Ready;
    const written = world.fault.save(ready);
    member.disk.save(written);
    if (written.snapshot !== undefined) installSnapshot(member, written.snapshot);
    world.checks.saved(member, written.entries);
  }
  member.saving = [];
  member.reads.clear();
  member.applied = member.durable;
  member.raft = startRaft(world, member.id, member.disk, member.durable);
  world.checks.restarted(member);
}

export function compact(world: World, member: SimMember): void {
  const { disk, durable } = member;
  if (durable.index <= disk.firstIndex) return;
  // Saves under way may still replace entries, but never committed ones.
  disk.compact(durable.index - world.random.below(3));
}

function acknowledge(world: World, member: SimMember, ready: Ready): void {
  if (ready.save !== undefined) member.raft.saved(ready.save);
  world.network.push(...ready.messagesAfterSave);
}

function apply(world: World, member: SimMember, entries: readonly Entry[]): void {
  for (const entry of entries) {
    world.checks.applied(member, entry);
    let { confState } = member.applied;
    if (entry.kind === "conf-change") {
      confState = member.raft.applyConfChange(entry);
      world.checks.confApplied(entry.index, confState);
    }
    member.applied = { index: entry.index, confState };
  }
  if (entries.length > 0) member.raft.applied(member.applied.index);
}

function installSnapshot(member: SimMember, snapshot: SnapshotMeta): void {
  const at = { index: snapshot.index, confState: snapshot.confState };
  member.applied = at;
  member.durable = at;
}

function startRaft(world: World, id: MemberId, disk: MemoryLog, at: Checkpoint): Raft {
  return createRaftWithRules(
    {
      id,
      log: disk,
      hardState: disk.hardState,
      confState: at.confState,
      applied: at.index,
      random: world.random,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      ...world.options,
      limits: {
        messageBytesMax: world.messageBytesMax,
        inflightMessagesMax: 3,
        inflightBytesMax: 64,
        uncommittedBytesMax: 200,
        applyBytesMax: 20,
        cacheBytesMax: 40,
      },
    },
    world.fault.rules,
  );
}
