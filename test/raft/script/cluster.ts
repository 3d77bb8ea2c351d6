import {
  type ConfState,
  type Entry,
  type Message,
  type Raft,
  type RaftConfig,
  type RaftLimits,
  type Ready,
} from "../../../src/core/raft/mod.ts";
import { createRaftWithRules } from "../../../src/core/raft/raft.ts";
import { RULES, type Rules } from "../../../src/core/raft/rules.ts";
import { memberId, type MemberId } from "../../../src/core/types/mod.ts";
import { createPrng } from "../../../src/stdx/mod.ts";
import { createMemoryLog, type MemoryLog, NO_CONF } from "../memory-log.ts";

/** The members that a script plays with, their storage, and the messages on their way. */

export const ELECTION_TICKS = 3;
export const HEARTBEAT_TICKS = 1;

export interface MemberOptions {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /** The members start from a snapshot of this index and term 1; 0: from nothing. */
  readonly index: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly asyncSaves: boolean;
  readonly limits: Partial<RaftLimits>;
}

export interface ScriptMember {
  readonly id: MemberId;
  readonly rules: Rules;
  raft: Raft;
  readonly log: MemoryLog;
  readonly options: MemberOptions;
  /** The configuration as of `applied`. */
  confState: ConfState;
  applied: number;
  /** What the next drawn election timeout is to be. */
  readonly timeout: { ticks: number | undefined };
  /** Of a member with asynchronous saves. */
  readonly saves: Ready[];
  readonly applies: (readonly Entry[])[];
}

export interface Cluster {
  readonly rules: Rules;
  readonly members: ScriptMember[];
  messages: Message[];
}

/** A cluster that keeps `rules`; other ones than Raft's are for tests of the scenarios. */
export function createCluster(rules: Rules = RULES): Cluster {
  return { rules, members: [], messages: [] };
}

export function addMember(cluster: Cluster, options: MemberOptions): ScriptMember {
  const id = memberId(BigInt(cluster.members.length + 1));
  const { voters, learners, index } = options;
  const confState: ConfState = { ...NO_CONF, voters, learners };
  const log = createMemoryLog(index > 0 ? { index, term: 1, confState } : undefined);
  const timeout = { ticks: undefined };
  const base = {
    id,
    rules: cluster.rules,
    log,
    options,
    confState,
    applied: index,
    timeout,
    saves: [],
    applies: [],
  };
  const member: ScriptMember = { ...base, raft: startRaft(base) };
  cluster.members.push(member);
  return member;
}

/** The process of the member ends and starts again with what it had saved. */
export function restart(member: ScriptMember): void {
  member.saves.length = 0;
  member.applies.length = 0;
  member.raft = startRaft(member);
}

/** Does the work of one Ready, the saves at once. */
export function processReady(cluster: Cluster, member: ScriptMember, ready: Ready): void {
  if (member.options.asyncSaves) {
    cluster.messages.push(...ready.messages);
    if (ready.save !== undefined) member.saves.push(ready);
    if (ready.committedEntries.length > 0) member.applies.push(ready.committedEntries);
    return;
  }
  save(member, ready);
  cluster.messages.push(...ready.messages, ...ready.messagesAfterSave);
  apply(member, ready.committedEntries);
  member.raft.advance();
}

/** The oldest save under way reaches the disk. */
export function processSave(cluster: Cluster, member: ScriptMember): Ready | undefined {
  const ready = member.saves.shift();
  if (ready?.save === undefined) return undefined;
  save(member, ready);
  member.raft.saved(ready.save);
  cluster.messages.push(...ready.messagesAfterSave);
  return ready;
}

/** The oldest batch of committed entries is applied. */
export function processApply(member: ScriptMember): readonly Entry[] | undefined {
  const entries = member.applies.shift();
  const last = entries?.at(-1);
  if (entries === undefined || last === undefined) return undefined;
  apply(member, entries);
  member.raft.applied(last.index);
  return entries;
}

function save(member: ScriptMember, ready: Ready): void {
  member.log.save(ready);
  if (ready.snapshot !== undefined) {
    member.applied = ready.snapshot.index;
    member.confState = ready.snapshot.confState;
  }
}

function apply(member: ScriptMember, entries: readonly Entry[]): void {
  for (const entry of entries) {
    if (entry.kind === "conf-change") member.confState = member.raft.applyConfChange(entry);
    member.applied = entry.index;
  }
}

function startRaft(member: Omit<ScriptMember, "raft">): Raft {
  const { id, rules, log, options, timeout } = member;
  const random = createPrng(Number(id));
  const config: RaftConfig = {
    id,
    log,
    hardState: log.hardState,
    confState: member.confState,
    applied: member.applied,
    random: {
      next: random.next,
      below: (bound) => {
        const { ticks } = timeout;
        timeout.ticks = undefined;
        return ticks === undefined ? random.below(bound) : ticks - ELECTION_TICKS;
      },
    },
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    preVote: options.preVote,
    checkQuorum: options.checkQuorum,
    limits: options.limits,
  };
  return createRaftWithRules(config, rules);
}
