import { CofferError } from "../errors.ts";
import { type Cancel, assert } from "../stdx/mod.ts";
import type {
  Actor,
  ApplyResult,
  ClusterId,
  MemberChange,
  MemberId,
  Proposal,
  StateReader,
  TenantId,
} from "../core/types/mod.ts";
import type { AppliedBatch } from "../core/fsm/mod.ts";
import { type Leadership, NO_MEMBER, type SnapshotMeta } from "../core/raft/mod.ts";
import type { WatchHubStatus, WatchStream } from "../core/watch/mod.ts";
import type { Prepared } from "./entry-applier.ts";
import type { LeadershipListener } from "./leadership.ts";
import { type Parts, createParts } from "./member-parts.ts";
import type { FleetMember, Node, NodeStatus, RecordListener } from "./node-port.ts";
import type { NodeOptions } from "./options.ts";
import type { Channel } from "./ports.ts";
import { Removal } from "./removal.ts";
import { NODE_RULES, type NodeRules } from "./rules.ts";

/**
 * The one effectful loop of a member. All that arrives in one turn of the event loop is taken in and
 * flushed together at its end: one entry, one fsynced save, one apply transaction (group commit), one
 * payload for each other member. Nothing that a client waits for waits for a timer.
 */
export class MemberNode implements Node {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  readonly state: StateReader;
  readonly #options: NodeOptions;
  readonly #rules: NodeRules;
  readonly #parts: Parts;
  readonly #removal: Removal;
  #cancelTick: Cancel = () => undefined;
  /** The term in which this member, as leader, has applied an entry: it knows all commits then. */
  #readableTerm = 0;
  #flushScheduled = false;
  #flushing = false;
  #blocked: CofferError | undefined;
  #isStopped = false;

  /** `rules`: for tests that break one. */
  constructor(options: NodeOptions, rules: NodeRules = NODE_RULES) {
    this.#options = options;
    this.#rules = rules;
    this.memberId = options.memberId;
    this.clusterId = options.clusterId;
    this.state = options.machine.reader;
    this.#removal = new Removal({
      ...options,
      state: this.state,
      onServesNoMore: (error) => this.#failAll(error),
    });
    this.#parts = createParts(
      options,
      {
        onWork: () => this.#scheduleFlush(),
        flush: () => this.#flush(),
        isReadable: () => this.#isReadable(),
        isStopped: () => this.#isStopped,
        isEnding: () => this.#removal.isEnding,
        refusalOfLeader: () => this.#refusalOfLeader(),
        propose: (proposal) => this.propose(proposal),
        readIndex: () => this.readIndex(),
        transferLeadership: () => this.transferLeadership(),
        commitState: () => this.#commitState(),
        install: (meta) => this.#install(meta),
        onLeadership: (change) => this.#onLeadership(change),
        onReads: (states) => {
          this.#parts.reads.confirm(states);
          this.#answerReads();
        },
        onApplied: (...applied) => this.#onApplied(...applied),
        // Watches and listeners that began while the state was behind have not heard of it, and who
        // looked at the table of members then did not see those that it tells of.
        onAppliedAgain: (applied) => {
          this.#parts.events.applied(applied);
          if (applied.membersChanged) this.#onMembersChanged();
        },
        onBlocked: (error) => this.#block(error),
        onUnblocked: () => (this.#blocked = undefined),
        onStateFailure: (error) => this.#onStateFailure(error),
        onSnapshotArrived: (from, term, meta) => this.#onSnapshotArrived(from, term, meta),
        onSnapshotSent: (to, delivered) => this.#onSnapshotSent(to, delivered),
        onDirectoryChanged: () => this.#onDirectoryChanged(),
        onRemoved: (by) => this.#removal.heard(by),
      },
      rules,
    );
  }

  /** Applies what the log holds, and campaigns at once where nobody else could lead. */
  start(): void {
    this.#options.onMembers(this.#parts.directory.others());
    if (this.#isSoleVoter()) this.#parts.raft.campaign();
    this.#flush();
    this.#removal.look();
    const { scheduler, times } = this.#options;
    this.#cancelTick = scheduler.every(times.heartbeatMs, () => this.#tick());
  }

  /** A payload of another member, whose name the transport vouches for. */
  receive(from: string, channel: Channel, payload: Uint8Array): void {
    if (!this.#isStopped) this.#parts.inbox.receive(from, channel, payload);
  }

  /** What was sent to the member may be lost. */
  unreachable(name: string): void {
    const id = this.#parts.directory.idOf(name);
    if (id === undefined || this.#isStopped) return;
    this.#parts.raft.reportUnreachable(id);
    this.#scheduleFlush();
  }

  propose(proposal: Proposal): Promise<ApplyResult> {
    const refusal = this.#refusal() ?? this.#blocked;
    if (refusal !== undefined) return Promise.reject(refusal);
    const result = this.#parts.queue.add(proposal, this.#requestTimes());
    this.#scheduleFlush();
    return result;
  }

  readIndex(): Promise<void> | undefined {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#isSoleVoter()) {
      // A leader without peers needs to ask nobody, and applies in the turn in which it commits.
      if (this.#isReadable() && (this.#hasAppliedAll() || this.#holdsUpNothingSeen()))
        return undefined;
      if (this.#blocked !== undefined) return Promise.reject(this.#blocked);
    }
    const done = this.#parts.reads.add(this.#requestTimes());
    this.#scheduleFlush();
    return done;
  }

  leaseNow(): number {
    return this.#parts.leaseClock.read(this.#options.clock.now());
  }

  openWatch(tenant: TenantId): WatchStream {
    return this.#parts.events.openWatch(tenant);
  }

  watchStatus(): WatchHubStatus {
    return this.#parts.events.watchStatus();
  }

  onRecords(listener: RecordListener): () => void {
    return this.#parts.events.onRecords(listener);
  }

  /** Calls back after a tenant was deleted, so that what was kept for it can go. */
  onTenantDeleted(listener: (tenant: TenantId) => void): void {
    this.#parts.events.onTenantDeleted(listener);
  }

  onTenantChanged(listener: (tenant: TenantId) => void): () => void {
    return this.#parts.events.onTenantChanged(listener);
  }

  onStateReplaced(listener: () => void): () => void {
    return this.#parts.events.onStateReplaced(listener);
  }

  onLeadership(listener: LeadershipListener): () => void {
    return this.#parts.leadership.listen(listener);
  }

  async changeMembers(change: MemberChange, actor: Actor): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    await this.#parts.membership.change(change, actor);
  }

  async moveLeader(to: MemberId): Promise<void> {
    if (this.#parts.raft.role !== "leader") throw new CofferError("not-leader");
    if (to === this.memberId) return;
    this.#parts.leases.carryOn();
    if (!(await this.#parts.leadership.transfer(to)))
      throw new CofferError("timeout-leader-transfer");
  }

  async transferLeadership(): Promise<boolean> {
    if (this.#isStopped || this.#parts.raft.role !== "leader") return true;
    const successor = this.#parts.leadership.successor();
    if (successor === undefined) return false;
    this.#parts.leases.carryOn();
    await this.#parts.leadership.transfer(successor);
    return !this.#isLeader();
  }

  fleetStatus(): Promise<readonly FleetMember[]> {
    return this.#parts.fleet.ask();
  }

  get term(): number {
    return this.#parts.raft.term;
  }

  get leader(): MemberId {
    return this.#parts.raft.leader;
  }

  get isLearner(): boolean {
    return this.#parts.entryApplier.confState.learners.includes(this.memberId);
  }

  status(): NodeStatus {
    const { role, term, leader, lastIndex, commit, transferee, peers } = this.#parts.raft.status();
    const { voters, learners } = this.#parts.entryApplier.confState;
    return {
      term,
      leader,
      role,
      raftIndex: lastIndex,
      commitIndex: commit,
      appliedIndex: this.#options.machine.appliedIndex,
      isLearner: this.isLearner,
      leadTransferee: transferee,
      peers,
      voters,
      learners,
      removed: this.#removal.isKnown,
      blocked: this.#blocked?.code,
    };
  }

  /** Answers all that is under way with `stopped`; the log and the state are left as they are. */
  stop(): void {
    if (this.#isStopped) return;
    if (!this.#parts.loop.isStuck) this.#flush();
    this.#parts.news.sendHeld();
    this.#commitState();
    this.#isStopped = true;
    this.#cancelTick();
    this.#parts.events.stop();
    this.#parts.snapshots.stop();
    this.#failAll(new CofferError("stopped"));
    this.#parts.requests.endAll();
    this.#parts.waits.endAll();
  }

  #isSoleVoter(): boolean {
    const { voters, votersOutgoing } = this.#parts.entryApplier.confState;
    return voters.length === 1 && voters[0] === this.memberId && votersOutgoing.length === 0;
  }

  #isLeader(): boolean {
    return this.#parts.raft.role === "leader";
  }

  #hasAppliedAll(): boolean {
    return this.#options.machine.appliedIndex >= this.#parts.raft.commit;
  }

  /**
   * Of the only voter: whether what a full disk keeps from being applied here has been answered by nobody.
   * There is no learner, and no member before its removal had any of it, which it would have applied.
   */
  #holdsUpNothingSeen(): boolean {
    const { confState, sharedUpTo } = this.#parts.entryApplier;
    const isAlone = confState.learners.length === 0;
    const isOwn = this.#options.machine.appliedIndex >= sharedUpTo;
    return isAlone && isOwn && !this.#parts.applier.isBehind;
  }

  /** Whether this member leads and has applied all that leaders before it have committed. */
  #isReadable(): boolean {
    return this.#isLeader() && this.#rules.mayStamp(this.#readableTerm, this.#parts.raft.term);
  }

  #requestTimes(): { readonly since: number; readonly deadline: number } {
    const since = this.#options.clock.now();
    return { since, deadline: since + this.#options.times.requestTimeoutMs };
  }

  /** Why this member serves nothing. */
  #refusal(): CofferError | undefined {
    return this.#removal.refusal ?? (this.#isStopped ? new CofferError("stopped") : undefined);
  }

  /** Why this member, as leader, takes no batch of another. */
  #refusalOfLeader(): "leader-changed" | "no-space" | undefined {
    if (this.#blocked === undefined) return undefined;
    return this.#parts.raft.status().transferee === NO_MEMBER ? "no-space" : "leader-changed";
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.scheduler.soon(() => this.#flush());
  }

  #flush(): void {
    if (this.#isStopped) return;
    this.#flushScheduled = false;
    assert(!this.#flushing, "Flush does not call itself");
    this.#flushing = true;
    try {
      this.#parts.inbox.take();
      if (!this.#parts.loop.isStuck) this.#parts.proposer.launch();
      this.#parts.reads.ask(this.#options.clock.now());
      this.#parts.loop.drain();
      this.#parts.waits.look();
    } catch (error) {
      this.#options.onFatal(error);
    } finally {
      this.#flushing = false;
    }
  }

  #tick(): void {
    if (this.#isStopped) return;
    const { clock, times, observer } = this.#options;
    const now = clock.now();
    const timeoutError = (since: number): CofferError => this.#parts.leadership.timeoutError(since);
    this.#parts.raft.tick();
    this.#parts.loop.retry();
    const failed = this.#parts.queue.expire(now, timeoutError);
    if (failed > 0) observer.proposalsFailed(failed);
    const unread = this.#parts.reads.expire(now, timeoutError);
    if (unread > 0) observer.readsFailed(unread);
    this.#parts.reads.askAgain(now - times.electionMs);
    this.#parts.proposer.resend(now);
    this.#parts.events.pump();
    observer.pending(this.#parts.queue.size);
    this.#recoverState();
    if (this.#isReadable() && this.#blocked === undefined) {
      this.#parts.leases.tick();
      this.#parts.autoCompaction.tick();
    }
    if (this.#isLeader() && this.#blocked !== undefined) this.#handOver();
    this.#parts.fleet.tick();
    if (this.#removal.isKnown && !this.#removal.isEnding) this.#parts.fleet.poke();
    this.#scheduleFlush();
    this.#parts.history.tick();
    void this.#parts.logCompaction.tick();
  }

  #onLeadership(change: Leadership): void {
    const { leader, role } = change;
    const isLeader = role === "leader";
    this.#parts.leaseClock.leads(this.#isReadable());
    if (this.#parts.leadership.changed(change)) {
      this.#options.observer.leadership({ leader, isLeader });
    }
    if (!isLeader) this.#parts.snapshots.endOutgoing();
    // Nobody but the leader that was asked knows of these rounds.
    this.#parts.reads.askAgain(Number.POSITIVE_INFINITY);
    this.#scheduleFlush();
  }

  #onApplied(applied: AppliedBatch, { entries, stampedIndex }: Prepared, ms: number): void {
    const { machine, observer, clock } = this.#options;
    const last = entries[entries.length - 1];
    assert(last !== undefined && machine.appliedIndex === last.index, "All entries are applied");
    this.#parts.leaseClock.applied(machine.leaseTime, clock.now(), stampedIndex);
    if (last.term === this.#parts.raft.term && this.#isLeader() && !this.#isReadable()) {
      this.#readableTerm = last.term;
      this.#parts.leaseClock.leads(true);
      this.#scheduleFlush();
    }
    observer.applied(entries, applied.results, ms);
    this.#parts.events.applied(applied);
    if (entries.some(({ confState }) => confState !== undefined)) this.#onConfChanged(last.index);
    if (applied.membersChanged) this.#onMembersChanged();
    if (this.#parts.changeMark.takeNews()) this.#tellRemovedMembers();
    this.#answerReads();
    // What was given back to be proposed again.
    if (this.#parts.queue.hasPending) this.#scheduleFlush();
  }

  /** The next entry takes it to the disk that the change is committed; so there is one. */
  #onConfChanged(index: number): void {
    this.#parts.changeMark.applied(index);
    this.#parts.appendEmpty();
    this.#scheduleFlush();
  }

  #onMembersChanged(): void {
    if (this.#parts.directory.refresh()) this.#onDirectoryChanged();
    this.#removal.look();
  }

  #onDirectoryChanged(): void {
    this.#options.onMembers(this.#parts.directory.others());
    this.#tellRemovedMembers();
  }

  #tellRemovedMembers(): void {
    if (this.#isLeader()) this.#parts.inbox.tellRemovedMembers();
  }

  #answerReads(): void {
    this.#parts.reads.answer(this.#options.machine.appliedIndex);
    if (this.#blocked !== undefined) this.#parts.reads.refuseConfirmed(this.#blocked);
  }

  #block(error: CofferError): void {
    if (this.#blocked === undefined) {
      this.#options.logger.error("Disk is full: writes are refused until there is room again");
    }
    this.#blocked = error;
    this.#parts.queue.refusePending(error);
    this.#parts.reads.refuseConfirmed(error);
  }

  /**
   * A leader whose disk is full hands over to a member that has saved all that this one has not: that
   * one's disk had room. Where there is none it goes on leading, so that reads go on.
   */
  #handOver(): void {
    const successor = this.#parts.leadership.successor(true);
    if (successor === undefined || this.#parts.raft.status().transferee !== NO_MEMBER) return;
    this.#options.logger.warn("Disk is full: leadership is handed over", {
      to: this.#parts.directory.nameOf(successor) ?? successor.toString(16),
    });
    this.#parts.raft.transferLeader(successor);
  }

  #commitState(): boolean {
    try {
      this.#parts.applier.flush();
      return true;
    } catch (error) {
      this.#onStateFailure(error);
      return false;
    }
  }

  #onStateFailure(error: unknown): void {
    if (error instanceof CofferError && error.code === "no-space") this.#block(error);
    else this.#options.onFatal(error);
  }

  /** Tries to apply again what a failed commit of the state took back, and to go on. */
  #recoverState(): void {
    if (this.#parts.loop.isStuck) return; // Whose next try applies again first.
    if (this.#blocked === undefined && !this.#parts.applier.isBehind) return;
    try {
      this.#parts.applier.catchUp();
      this.#parts.applier.flush();
      this.#blocked = undefined;
      this.#answerReads();
    } catch (error) {
      this.#onStateFailure(error);
    }
  }

  #onSnapshotArrived(from: string, term: number, snapshot: SnapshotMeta): void {
    const sender = this.#parts.directory.idOf(from);
    if (sender === undefined || this.#isStopped) return;
    const message = { kind: "snapshot", from: sender, to: this.memberId, term, snapshot } as const;
    this.#parts.loop.whenDone(() => this.#parts.raft.step(message));
    this.#scheduleFlush();
  }

  #onSnapshotSent(to: string, delivered: boolean): void {
    this.#options.observer.snapshotSent(to, delivered);
    const id = this.#parts.directory.idOf(to);
    if (id === undefined || this.#isStopped) return;
    this.#parts.raft.reportSnapshot(id, delivered);
    this.#scheduleFlush();
  }

  #install(meta: SnapshotMeta): void {
    const { snapshots, machine, clock, logger } = this.#options;
    this.#parts.events.stateReplaced(() => {
      try {
        snapshots.install(meta);
      } catch (cause) {
        // Past the point of no return the files are whole only after a new start, whatever failed.
        throw new Error("Snapshot could not be installed", { cause });
      }
      machine.reload();
      this.#parts.entryApplier.stateReplaced(meta.confState);
    });
    this.#parts.leaseClock.applied(machine.leaseTime, clock.now());
    logger.info("Snapshot installed", { index: meta.index });
    this.#onMembersChanged();
    this.#answerReads();
  }

  #failAll(error: CofferError): void {
    this.#parts.queue.failAll(error);
    this.#parts.reads.failAll(error);
  }
}
