import type { CofferError } from "../errors.ts";
import type { AppliedBatch } from "../core/fsm/mod.ts";
import { LeaseClock } from "../core/lease/mod.ts";
import {
  type Leadership,
  type Raft,
  type ReadState,
  type SnapshotMeta,
  createRaft,
} from "../core/raft/mod.ts";
import type {
  Actor,
  ApplyResult,
  Command,
  MemberId,
  Proposal,
  TenantId,
} from "../core/types/mod.ts";
import { type BatchHeader, encodeProposals } from "../wire/mod.ts";
import { Applier } from "./applier.ts";
import { AUTO_COMPACTION_ACTOR, AutoCompaction } from "./auto-compaction.ts";
import { BatchNumbers } from "./batch-numbers.ts";
import { ChangeMark } from "./change-mark.ts";
import { CommitNews } from "./commit-news.ts";
import { Directory } from "./directory.ts";
import { EntryApplier, type Prepared } from "./entry-applier.ts";
import { Fleet } from "./fleet.ts";
import { HistoryCompaction } from "./history-compaction.ts";
import { Inbox } from "./inbox.ts";
import { Introductions } from "./introductions.ts";
import { LeaderWatch } from "./leadership.ts";
import { LEASE_ACTOR, LeaseKeeper } from "./lease-keeper.ts";
import { LogCompaction } from "./log-compaction.ts";
import { Membership } from "./membership.ts";
import type { NodeOptions } from "./options.ts";
import { ProposalQueue } from "./proposal-queue.ts";
import { Proposer } from "./proposer.ts";
import { ReadQueue } from "./read-queue.ts";
import { ReadyLoop, type ReadyLoopDeps } from "./ready-loop.ts";
import { Requests } from "./requests.ts";
import type { NodeRules } from "./rules.ts";
import { Sender } from "./sender.ts";
import { SnapshotExchange } from "./snapshot-exchange.ts";
import { StateEvents } from "./state-events.ts";
import { Waits } from "./waits.ts";

/** What a member is made of; the node turns its wheels. */
export interface Parts {
  readonly raft: Raft;
  readonly events: StateEvents;
  readonly queue: ProposalQueue;
  readonly proposer: Proposer;
  readonly reads: ReadQueue;
  readonly applier: Applier;
  readonly entryApplier: EntryApplier;
  readonly loop: ReadyLoop;
  readonly leaseClock: LeaseClock;
  readonly leases: LeaseKeeper;
  readonly autoCompaction: AutoCompaction;
  readonly leadership: LeaderWatch;
  readonly waits: Waits;
  readonly directory: Directory;
  readonly changeMark: ChangeMark;
  readonly requests: Requests;
  readonly inbox: Inbox;
  readonly news: CommitNews;
  readonly membership: Membership;
  readonly fleet: Fleet;
  readonly snapshots: SnapshotExchange;
  readonly history: HistoryCompaction;
  readonly logCompaction: LogCompaction;
  /** Appends an entry without proposals, if this member may give times. */
  appendEmpty(): void;
}

/** What the parts ask of the node that holds them, and tell it. Called once it is made, not before. */
export interface PartHooks {
  /** Something waits for the end of the turn. */
  onWork(): void;
  /** Does now what waits; nothing once the member is stopped. */
  flush(): void;
  isReadable(): boolean;
  isStopped(): boolean;
  isEnding(): boolean;
  refusalOfLeader(): "leader-changed" | "no-space" | undefined;
  propose(proposal: Proposal): Promise<ApplyResult>;
  readIndex(): Promise<void> | undefined;
  transferLeadership(): Promise<boolean>;
  commitState(): boolean;
  install(meta: SnapshotMeta): void;
  onLeadership(change: Leadership): void;
  onReads(states: readonly ReadState[]): void;
  onApplied(applied: AppliedBatch, prepared: Prepared, milliseconds: number): void;
  onAppliedAgain(applied: AppliedBatch): void;
  onBlocked(error: CofferError): void;
  onUnblocked(): void;
  onStateFailure(error: unknown): void;
  onSnapshotArrived(from: string, term: number, meta: SnapshotMeta): void;
  onSnapshotSent(to: string, delivered: boolean): void;
  onDirectoryChanged(): void;
  onRemoved(by: string): void;
}

export function createParts(options: NodeOptions, hooks: PartHooks, rules: NodeRules): Parts {
  const base = createBase(options, hooks, rules);
  const { raft, queue, applier, entryApplier, proposer, leaseClock, directory } = base;
  const { machine, clock, times } = options;
  const snapshots = snapshotsOf(options, hooks);
  const news = commitNewsOf(options, base, snapshots);
  const shared = {
    ...options,
    ...hooks,
    ...base,
    snapshots,
    news,
    self: options.memberId,
    rules,
    requestTimeoutMs: times.requestTimeoutMs,
    electionMs: times.electionMs,
    confState: () => entryApplier.confState,
    nameOf: (id: MemberId) => directory.nameOf(id),
    isReady: () => hooks.isReadable(),
    appliedIndex: () => machine.appliedIndex,
  };
  const nextHeader = (): BatchHeader => proposer.header(queue.nextNumber().name);
  const appendEmpty = (): void => {
    if (hooks.isReadable()) raft.propose(encodeProposals(nextHeader(), []));
  };
  const propose = proposeAs(hooks, LEASE_ACTOR);
  const leases = new LeaseKeeper({ ...shared, leaseClock, propose, carryOn: appendEmpty });
  const membership = new Membership({ ...shared, state: machine.reader });
  const members = (): ReturnType<Membership["members"]> => membership.members();
  const fleet = new Fleet({ ...shared, members });
  const introductions = new Introductions({ ...shared, members });
  const isVoter = (): boolean => entryApplier.confState.voters.includes(options.memberId);
  const inbox = new Inbox({ ...shared, introductions, isVoter, fleet, membership });
  const loop = new ReadyLoop({
    ...shared,
    applier: entryApplier,
    ...outletsOf(options, hooks, { leaseClock, news }),
  });
  const history = new HistoryCompaction({
    ...shared,
    mayRun: () => !hooks.isStopped() && !loop.isStuck,
    isBusy: () => options.storage.isBusy?.() ?? false,
    isFilling: () => options.storage.isFilling?.() ?? false,
    commit: () => applier.flush(),
    onFailure: (error) => hooks.onStateFailure(error),
  });
  return {
    ...base,
    appendEmpty,
    leases,
    autoCompaction: autoCompactionOf(options, hooks),
    membership,
    fleet,
    snapshots,
    inbox,
    news,
    loop,
    history,
    events: eventsOf(options, applier),
    reads: new ReadQueue((ctx) => raft.readIndex(ctx), clock.now()),
    logCompaction: new LogCompaction({
      ...shared,
      isConnected: (member) => base.leadership.isConnected(member),
    }),
  };
}

/** Where the loop's work goes, but for what the member itself looks after. */
function outletsOf(
  { peers, clock }: NodeOptions,
  hooks: PartHooks,
  { leaseClock, news }: Pick<Parts, "leaseClock" | "news">,
): Pick<ReadyLoopDeps, "send" | "onConfChange" | "onSending" | "onSaved"> {
  return {
    send: (messages) => news.send(messages),
    onConfChange: () => news.sendHeld(),
    onSending: () => peers.afterSends(() => hooks.flush()),
    onSaved: (first, last) => leaseClock.saved({ first, last }, clock.now()),
  };
}

/** Raft's messages on their way out. */
function commitNewsOf(
  options: NodeOptions,
  { raft, directory }: Pick<Parts, "raft" | "directory">,
  snapshots: SnapshotExchange,
): CommitNews {
  const sender = new Sender({
    ...options,
    raft,
    directory,
    startSnapshot: (to, message) => snapshots.start(to, message),
  });
  return new CommitNews({ ...options, send: (messages) => sender.send(messages) });
}

/** Proposes what the cluster does by itself, which no policy is asked about. */
function proposeAs(
  hooks: PartHooks,
  actor: Actor,
): (tenant: TenantId, command: Command) => Promise<ApplyResult> {
  return (tenant, command) => hooks.propose({ tenant, policyRevision: undefined, actor, command });
}

function autoCompactionOf(options: NodeOptions, hooks: PartHooks): AutoCompaction {
  const propose = proposeAs(hooks, AUTO_COMPACTION_ACTOR);
  return new AutoCompaction({ ...options, state: options.machine.reader, propose });
}

type Base = Pick<
  Parts,
  | "raft"
  | "leaseClock"
  | "queue"
  | "waits"
  | "leadership"
  | "directory"
  | "changeMark"
  | "requests"
  | "applier"
  | "entryApplier"
  | "proposer"
>;

function createBase(options: NodeOptions, hooks: PartHooks, rules: NodeRules): Base {
  const { memberId: self, log, machine, clock, scheduler, times, logger } = options;
  const { electionMs } = times;
  const { onWork } = hooks;
  const raft = raftOf(options);
  // Differs between the starts of one member, so that answers to an earlier one are not taken.
  const life = options.random.below(2 ** 32);
  const leaseClock = new LeaseClock(machine.leaseTime, clock.now());
  const queue = new ProposalQueue(new BatchNumbers(life), rules);
  const waits = new Waits(scheduler);
  const leadership = new LeaderWatch({ self, raft, clock, waits, electionMs, onWork });
  const directory = new Directory(self, options.seedMembers, machine.reader);
  const send = sendTo(options, directory);
  const requests = new Requests({ scheduler, send }, life);
  const onFailure = (error: unknown): void => hooks.onStateFailure(error);
  const onAgain = (applied: AppliedBatch): void => hooks.onAppliedAgain(applied);
  const applier = new Applier({ machine, log, scheduler, onAgain, onFailure });
  const entryApplier = new EntryApplier({ self, raft, queue, applier }, options.confState);
  const proposer = new Proposer({
    self,
    raft,
    queue,
    clock,
    leaseClock,
    rules,
    logger,
    resendMs: electionMs,
    retryMs: times.heartbeatMs,
    send,
    isReady: () => hooks.isReadable(),
    blocked: () => hooks.refusalOfLeader(),
    onProposed: (count) => options.observer.proposed(count),
  });
  return {
    raft,
    leaseClock,
    queue,
    waits,
    leadership,
    directory,
    changeMark: new ChangeMark(log, machine.appliedIndex),
    requests,
    applier,
    entryApplier,
    proposer,
  };
}

function raftOf({ memberId, log, machine, confState, random, times }: NodeOptions): Raft {
  return createRaft({
    id: memberId,
    log,
    hardState: log.hardState,
    confState,
    applied: machine.appliedIndex,
    random,
    electionTicks: Math.max(2, Math.round(times.electionMs / times.heartbeatMs)),
    heartbeatTicks: 1,
  });
}

/** False: not sent, nor will it be. */
function sendTo(
  { peers }: NodeOptions,
  directory: Directory,
): (to: MemberId, payload: Uint8Array) => boolean {
  return (to, payload) => {
    const name = directory.nameOf(to);
    return name !== undefined && peers.send(name, "fwd", payload);
  };
}

function eventsOf(options: NodeOptions, applier: Applier): StateEvents {
  const { progressIntervalMs } = options.times;
  return new StateEvents({ ...options, progressIntervalMs, isBehind: () => applier.isBehind });
}

function snapshotsOf(
  { peers, snapshots, machine, scheduler, clock, logger }: NodeOptions,
  hooks: PartHooks,
): SnapshotExchange {
  return new SnapshotExchange({
    send: (to, bytes) => peers.send(to, "snap", bytes),
    store: snapshots,
    scheduler,
    clock,
    logger,
    appliedIndex: () => machine.appliedIndex,
    onArrived: (from, { term, meta }) => hooks.onSnapshotArrived(from, term, meta),
    onSent: (to, delivered) => hooks.onSnapshotSent(to, delivered),
  });
}
