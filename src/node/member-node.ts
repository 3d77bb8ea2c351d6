import { CofferError } from "../errors.ts";
import { type Clock, type Prng, assert } from "../stdx/mod.ts";
import {
  type ApplyResult,
  type ClusterId,
  type MemberId,
  type Proposal,
  type StateReader,
  type TenantId,
  systemActor,
} from "../core/types/mod.ts";
import type { CommittedEntry } from "../core/fsm/mod.ts";
import { LeaseClock } from "../core/lease/mod.ts";
import { type ConfState, type Entry, type Raft, type Ready, createRaft } from "../core/raft/mod.ts";
import {
  type WatchHub,
  type WatchHubStatus,
  type WatchStream,
  createWatchHub,
} from "../core/watch/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { type BatchHeader, decodeHeader } from "../wire/mod.ts";
import { Applier, committedEntry } from "./applier.ts";
import { encodeBatch } from "./encode-batch.ts";
import type { Node, NodeStatus, RecordListener } from "./node-port.ts";
import type {
  LogStore,
  NodeObserver,
  NodeStorage,
  NodeTimes,
  PeerSender,
  StateMachine,
} from "./ports.ts";
import { ProposalQueue } from "./proposal-queue.ts";
import { ReadQueue } from "./read-queue.ts";

export interface NodeOptions {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  readonly log: LogStore;
  readonly confState: ConfState;
  readonly machine: StateMachine;
  readonly storage: NodeStorage;
  readonly peers: PeerSender;
  readonly clock: Clock;
  readonly random: Prng;
  readonly times: NodeTimes;
  /** Applied entries after which the log is compacted. */
  readonly snapshotEntries: number;
  readonly observer: NodeObserver;
  readonly logger: Logger;
  /** A broken invariant or disk: the process must stop. */
  readonly onFatal: (error: unknown) => void;
}

/** Expired leases that one tick revokes (etcd lessor.go: 500). */
const EXPIRED_LEASES_PER_TICK = 500;
/** Rows that one slice of background removal touches: a few milliseconds. */
const COMPACT_STEP_ROWS = 200;
/** Milliseconds between slices, so that requests come first. */
const COMPACT_PAUSE_MS = 5;
/** Changes kept in memory for watches that lag a little; further back they read the store. */
const RECENT_CHANGES_BYTES_MAX = 4 * 1024 * 1024;
/** Entries kept behind the durable applied index for members that lag. */
const LOG_MARGIN_ENTRIES = 1000;

/**
 * The one effectful loop of a member. All that arrives in one turn of the event loop is flushed
 * together at its end: one entry, one fsynced save, one apply transaction (group commit). Nothing
 * waits for a timer.
 */
export class MemberNode implements Node {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  readonly state: StateReader;
  readonly #options: NodeOptions;
  readonly #raft: Raft;
  readonly #hub: WatchHub;
  readonly #proposals = new ProposalQueue();
  readonly #reads: ReadQueue;
  readonly #applier: Applier;
  readonly #leaseClock: LeaseClock;
  /** Tells this life's batches from those of another. */
  readonly #life: number;
  #seq = 0;
  readonly #listeners = new Set<RecordListener>();
  readonly #deletionListeners: ((tenant: TenantId) => void)[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #confState: ConfState;
  /** The term in which this member, as leader, has committed an entry: reads are safe from then. */
  #readableTerm = 0;
  #flushScheduled = false;
  #pumpScheduled = false;
  #flushing = false;
  /** Work of raft that a full disk holds up; tried again at each tick. */
  #held: { readonly ready: Ready; saved: boolean } | undefined;
  #blocked: CofferError | undefined;
  #stopped = false;
  #compacting = false;
  #checkpointing = false;
  #compactedIndex: number;
  #expiring = new Set<string>();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.memberId = options.memberId;
    this.clusterId = options.clusterId;
    this.state = options.machine.reader;
    this.#confState = options.confState;
    this.#compactedIndex = options.log.firstIndex - 1;
    this.#hub = createWatchHub(options.machine.watchSource, {
      prng: options.random,
      progressIntervalMs: options.times.progressIntervalMs,
      recentBytesMax: RECENT_CHANGES_BYTES_MAX,
      onWork: () => this.#pumpWatchesSoon(),
    });
    const { times } = options;
    this.#raft = createRaft({
      id: options.memberId,
      log: options.log,
      hardState: options.log.hardState,
      confState: options.confState,
      applied: options.machine.appliedIndex,
      random: options.random,
      electionTicks: Math.max(2, Math.round(times.electionMs / times.heartbeatMs)),
      heartbeatTicks: 1,
      // Applied entries are kept for peers that lag; without peers nobody asks for them again.
      limits: this.#isSoleVoter() ? { cacheBytesMax: 0 } : {},
    });
    this.#applier = new Applier({
      machine: options.machine,
      log: options.log,
      onFailure: (error) => this.#onStateFailure(error),
    });
    this.#leaseClock = new LeaseClock(options.machine.leaseTime, options.clock.now());
    this.#life = options.random.below(2 ** 32);
    this.#reads = new ReadQueue((ctx) => this.#raft.readIndex(ctx), options.clock.now());
  }

  /** Applies what the log holds, and campaigns at once where nobody else could lead. */
  start(): void {
    if (this.#isSoleVoter()) this.#raft.campaign();
    this.#flush();
    const { heartbeatMs } = this.#options.times;
    this.#timers.push(setInterval(() => this.#tick(), heartbeatMs));
  }

  propose(proposal: Proposal): Promise<ApplyResult> {
    if (this.#stopped) return Promise.reject(new CofferError("stopped"));
    if (this.#blocked !== undefined) return Promise.reject(this.#blocked);
    const deadline = this.#options.clock.now() + this.#options.times.requestTimeoutMs;
    const result = this.#proposals.add(proposal, deadline);
    this.#scheduleFlush();
    return result;
  }

  readIndex(): Promise<void> | undefined {
    if (this.#stopped) return Promise.reject(new CofferError("stopped"));
    // A leader without peers needs to ask nobody, and applies in the turn in which it commits.
    const raft = this.#raft;
    const alone = this.#isSoleVoter() && raft.role === "leader";
    // Even while a full disk holds work up: what has been acknowledged is applied by then.
    if (alone && this.#readableTerm === raft.term && !this.#applier.isBehind) return undefined;
    if (this.#blocked !== undefined) return Promise.reject(this.#blocked);
    const deadline = this.#options.clock.now() + this.#options.times.requestTimeoutMs;
    const done = this.#reads.add(deadline);
    this.#scheduleFlush();
    return done;
  }

  leaseNow(): number {
    return this.#leaseClock.read(this.#options.clock.now());
  }

  openWatch(tenant: TenantId): WatchStream {
    return this.#hub.openStream(tenant);
  }

  watchStatus(): WatchHubStatus {
    return this.#hub.status();
  }

  onRecords(listener: RecordListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls back after a tenant was deleted, so that what was kept for it can go. */
  onTenantDeleted(listener: (tenant: TenantId) => void): void {
    this.#deletionListeners.push(listener);
  }

  status(): NodeStatus {
    const raft = this.#raft;
    return {
      term: raft.term,
      leader: raft.leader,
      raftIndex: this.#options.log.lastIndex,
      appliedIndex: this.#options.machine.appliedIndex,
      isLearner: this.#confState.learners.includes(this.memberId),
    };
  }

  /** Answers all that is under way with `stopped`; the log and the state are left as they are. */
  stop(): void {
    if (this.#stopped) return;
    if (this.#held === undefined) this.#flush();
    this.#commitState();
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#proposals.failAll(new CofferError("stopped"));
    this.#reads.failAll(new CofferError("stopped"));
  }

  #isSoleVoter(): boolean {
    const { voters, votersOutgoing } = this.#confState;
    return voters.length === 1 && voters[0] === this.memberId && votersOutgoing.length === 0;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (!this.#stopped) this.#flush();
    });
  }

  #flush(): void {
    assert(!this.#flushing, "Flush does not call itself");
    this.#flushing = true;
    try {
      this.#launch();
      this.#reads.ask();
      this.#drain();
    } catch (error) {
      this.#options.onFatal(error);
    } finally {
      this.#flushing = false;
    }
  }

  /** Gives the log what has been proposed. */
  #launch(): void {
    if (this.#held !== undefined) return;
    while (this.#proposals.hasPending) {
      const { good: batch, data } = encodeBatch(this.#nextHeader(), this.#proposals.takeBatch());
      if (batch.length === 0) continue;
      const result = this.#raft.propose(data);
      if (result.kind === "appended") {
        this.#proposals.launched(result.index, result.term, batch);
        this.#options.observer.proposed(batch.length);
        continue;
      }
      const code = result.kind === "refused" ? result.code : "not-leader";
      for (const waiting of batch) waiting.reject(new CofferError(code));
    }
  }

  #nextHeader(): BatchHeader {
    this.#seq = (this.#seq + 1) % 2 ** 32;
    const { clock, memberId: origin } = this.#options;
    const time = clock.now();
    const leaseTime = this.#leaseClock.read(time);
    return { time, leaseTime, origin, life: this.#life, seq: this.#seq };
  }

  /** Does all the work that raft has: save, send, apply, answer. */
  #drain(): void {
    for (;;) {
      if (this.#held === undefined) {
        const ready = this.#raft.ready();
        if (ready === undefined) return;
        this.#held = { ready, saved: false };
      }
      if (!this.#carryOut(this.#held)) return;
      this.#held = undefined;
      this.#blocked = undefined;
    }
  }

  /** False if the disk is full: the work stays, and is tried again later. */
  #carryOut(held: { readonly ready: Ready; saved: boolean }): boolean {
    const { ready } = held;
    const { log, peers, observer } = this.#options;
    try {
      if (!held.saved) {
        if (ready.leadership !== undefined) {
          const { leader, role } = ready.leadership;
          observer.leadership({ leader, isLeader: role === "leader" });
          this.#leaseClock.leads(role === "leader");
          this.#reads.askAgain();
        }
        if (ready.messages.length > 0) peers.send(ready.messages);
        if (ready.hardState !== undefined || ready.entries.length > 0) {
          log.save({ hardState: ready.hardState, entries: ready.entries });
        }
        if (ready.save !== undefined) this.#raft.saved(ready.save);
        if (ready.messagesAfterSave.length > 0) peers.send(ready.messagesAfterSave);
        held.saved = true;
      }
      if (ready.committedEntries.length > 0) this.#apply(ready.committedEntries);
      this.#reads.answer(ready.readStates, this.#options.machine.appliedIndex);
      return true;
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== "no-space") throw error;
      this.#block(error);
      return false;
    }
  }

  #block(error: CofferError): void {
    if (this.#blocked === undefined) {
      this.#options.logger.error("Disk is full: writes are refused until there is room again");
    }
    this.#blocked = error;
    this.#proposals.refusePending(error);
  }

  #commitState(): void {
    try {
      this.#applier.flush();
    } catch (error) {
      this.#onStateFailure(error);
    }
  }

  #onStateFailure(error: unknown): void {
    if (error instanceof CofferError && error.code === "no-space") this.#block(error);
    else this.#options.onFatal(error);
  }

  /** Tries to apply again what a failed commit of the state took back, and to go on. */
  #recoverState(): void {
    if (this.#held !== undefined) return; // Whose next try applies again first.
    if (this.#blocked === undefined && !this.#applier.isBehind) return;
    try {
      this.#applier.catchUp();
      this.#applier.flush();
      this.#blocked = undefined;
      this.#reads.answer([], this.#options.machine.appliedIndex);
    } catch (error) {
      this.#onStateFailure(error);
    }
  }

  #apply(entries: readonly Entry[]): void {
    const { machine, observer } = this.#options;
    const raft = this.#raft;
    const batch: CommittedEntry[] = [];
    let bytes = 0;
    for (const entry of entries) {
      bytes += entry.data.length;
      if (entry.kind === "conf-change") this.#confState = raft.applyConfChange(entry);
      batch.push(this.#committed(entry));
    }
    const applied = this.#applier.apply(batch, bytes);
    const last = batch[batch.length - 1];
    assert(last !== undefined && machine.appliedIndex === last.index, "All entries are applied");
    raft.applied(last.index);
    this.#leaseClock.applied(machine.leaseTime, this.#options.clock.now());
    if (last.term === raft.term && raft.role === "leader") this.#readableTerm = last.term;
    for (const [i, entry] of batch.entries()) {
      this.#proposals.landed(entry.index, entry.term, applied.results[i] ?? []);
    }
    observer.applied(last.index, batch.length);
    if (applied.changes.length > 0) this.#hub.publish(applied.changes);
    for (const tenant of applied.tenantsDeleted) {
      this.#hub.tenantDeleted(tenant);
      for (const listener of this.#deletionListeners) listener(tenant);
    }
    for (const change of applied.recordChanges) {
      for (const listener of this.#listeners) listener(change);
    }
  }

  #committed(entry: Entry): CommittedEntry {
    const { index, term, data } = entry;
    const proposals = this.#proposals.proposalsOf(index, term);
    if (proposals === undefined) return committedEntry(entry);
    const { time, leaseTime } = decodeHeader(data);
    return { index, term, time, leaseTime, proposals };
  }

  #tick(): void {
    if (this.#stopped) return;
    const now = this.#options.clock.now();
    this.#raft.tick();
    this.#proposals.expire(now);
    this.#reads.expire(now);
    this.#pumpWatches();
    this.#options.observer.pending(this.#proposals.size);
    this.#recoverState();
    this.#expireLeases();
    this.#scheduleFlush();
    if (!this.#compacting) this.#compactSlice();
    void this.#compactLog();
  }

  #pumpWatchesSoon(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      if (!this.#stopped) this.#pumpWatches();
    });
  }

  /** One slice of catching up; the next one lets requests in between. */
  #pumpWatches(): void {
    if (this.#hub.tick(this.#options.clock.now())) this.#pumpWatchesSoon();
  }

  /** The leader proposes what time has ended; apply checks the deadline again. */
  #expireLeases(): void {
    if (this.#raft.role !== "leader" || this.#blocked !== undefined) return;
    for (const { tenant, id } of this.#options.machine.expiredLeases(
      this.leaseNow(),
      EXPIRED_LEASES_PER_TICK,
    )) {
      const name = `${tenant}/${id}`;
      if (this.#expiring.has(name)) continue;
      this.#expiring.add(name);
      this.propose({
        tenant,
        policyRevision: undefined,
        actor: systemActor("lease-expired"),
        command: { kind: "lease-revoke", id, cause: "expired" },
      })
        .catch((error: unknown) => {
          this.#options.logger.warn("Lease expiry was not proposed, it will be again", {
            cause: error,
          });
        })
        .finally(() => this.#expiring.delete(name));
    }
  }

  /** Removes compacted history in slices, while there is any. */
  #compactSlice(): void {
    this.#compacting = false;
    if (this.#stopped || this.#held !== undefined) return;
    try {
      if (!this.#options.machine.compactStep(COMPACT_STEP_ROWS)) return;
      this.#applier.commitSoon();
    } catch (error) {
      this.#onStateFailure(error);
      return;
    }
    this.#compacting = true;
    setTimeout(() => this.#compactSlice(), COMPACT_PAUSE_MS).unref();
  }

  /** Forgets log entries that the state on the disk has made needless. */
  async #compactLog(): Promise<void> {
    const { machine, storage, log, snapshotEntries, logger } = this.#options;
    const grown = machine.appliedIndex - this.#compactedIndex - LOG_MARGIN_ENTRIES;
    if (this.#checkpointing || grown < snapshotEntries) return;
    this.#checkpointing = true;
    try {
      this.#commitState();
      if (this.#blocked !== undefined) return;
      const durable = await storage.checkpoint();
      const upTo = durable - LOG_MARGIN_ENTRIES;
      if (this.#stopped || upTo <= this.#compactedIndex) return;
      log.compact(upTo);
      this.#compactedIndex = upTo;
      logger.debug("Log compacted", { index: upTo });
    } catch (error) {
      logger.warn("Log could not be compacted, it will be tried again", { cause: error });
    } finally {
      this.#checkpointing = false;
    }
  }
}
