import { CofferError } from "../errors.ts";
import type { Entry, Leadership, Message, Raft, ReadState, Ready } from "../core/raft/mod.ts";
import type { SnapshotMeta } from "../core/raft/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { EntryApplier, Prepared } from "./entry-applier.ts";
import type { LogStore } from "./ports.ts";

/** Readys that a full disk may hold up; past it the member falls silent until there is room. */
const HELD_MAX = 10_000;

export interface ReadyLoopDeps {
  readonly raft: Raft;
  readonly log: LogStore;
  readonly applier: Pick<EntryApplier, "prepare" | "apply">;
  readonly clock: Clock;
  send(messages: readonly Message[]): void;
  /** A change of members is committed, and about to be in force. */
  onConfChange(): void;
  /** Something is left to be done by another `drain`, once what was sent is on its way. */
  onSending(): void;
  onLeadership(leadership: Leadership): void;
  onReads(states: readonly ReadState[]): void;
  /** The log's entries from `first` to `last` are on the disk. */
  onSaved(first: number, last: number): void;
  /** Puts a snapshot that has arrived in place of state and log. */
  install(meta: SnapshotMeta): void;
  onApplied(
    applied: ReturnType<EntryApplier["apply"]>,
    prepared: Prepared,
    milliseconds: number,
  ): void;
  onBlocked(error: CofferError): void;
  onUnblocked(): void;
}

interface Held {
  readonly ready: Ready;
  isInstalled: boolean;
  isSaved: boolean;
  prepared: Prepared | undefined;
}

/**
 * Does the work that raft hands out: send, save, send what had to wait for that, apply. Saves are in
 * order; a full disk holds them and all that follows up, while what may go out at once still does: so
 * a leader whose own disk is full goes on leading until another takes over, and a follower still
 * answers heartbeats, without acknowledging anything that it has not saved.
 */
export class ReadyLoop {
  readonly #deps: ReadyLoopDeps;
  #held: Held[] = [];
  #isStuck = false;
  #mayRetry = false;
  #whenDone: (() => void) | undefined;

  constructor(deps: ReadyLoopDeps) {
    this.#deps = deps;
  }

  /** Whether a full disk holds up work. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** Lets the next `drain` try the disk again. */
  retry(): void {
    this.#mayRetry = true;
  }

  /**
   * Has `drain` do `work`, in the place of any that waits, when all that was handed out is done: what is
   * to take the place of the state must not come between an entry and its effects.
   */
  whenDone(work: () => void): void {
    this.#whenDone = work;
  }

  /**
   * All that there is to do, but that messages leave before what holds the thread: appends before
   * their entries are saved here, as what others save meanwhile costs no time of its own (Raft thesis
   * §10.2.1), and answers to a leader before what is committed is applied.
   */
  drain(): void {
    const { raft, onSending } = this.#deps;
    for (;;) {
      if (!this.#work()) return onSending();
      if (this.#held.length >= HELD_MAX) return;
      if (this.#held.length === 0) this.#runWhenDone();
      const ready = raft.ready();
      if (ready === undefined) return;
      this.#begin(ready);
      if (!needsDisk(ready)) continue;
      this.#held.push(heldOf(ready));
      if (ready.entries.length === 0 || ready.messages.length === 0) continue;
      onSending();
      return;
    }
  }

  #runWhenDone(): void {
    const work = this.#whenDone;
    this.#whenDone = undefined;
    work?.();
  }

  #begin(ready: Ready): void {
    const { send, onLeadership, onReads, onConfChange } = this.#deps;
    if (ready.leadership !== undefined) onLeadership(ready.leadership);
    if (ready.messages.length > 0) send(ready.messages);
    if (ready.committedEntries.some(isConfChange)) onConfChange();
    if (ready.readStates.length > 0) onReads(ready.readStates);
  }

  /** False if messages are to leave before the rest is done. */
  #work(): boolean {
    for (let held = this.#held[0]; held !== undefined; held = this.#held[0]) {
      if (this.#isStuck && !this.#mayRetry) return true;
      try {
        if (!this.#carryOut(held)) return false;
      } catch (error) {
        if (!(error instanceof CofferError) || error.code !== "no-space") throw error;
        this.#isStuck = true;
        this.#mayRetry = false;
        this.#deps.onBlocked(error);
        return true;
      }
      this.#held.shift();
      if (!this.#isStuck) continue;
      this.#isStuck = false;
      this.#deps.onUnblocked();
    }
    return true;
  }

  /** False if messages are to leave before it is applied. */
  #carryOut(held: Held): boolean {
    const { raft, log, applier, clock, send, install, onSaved, onApplied } = this.#deps;
    const { ready } = held;
    if (!held.isSaved) {
      if (ready.snapshot !== undefined && !held.isInstalled) {
        install(ready.snapshot);
        held.isInstalled = true;
      }
      if (ready.hardState !== undefined || ready.entries.length > 0) {
        log.save({ hardState: ready.hardState, entries: ready.entries });
      }
      const [first] = ready.entries;
      if (first !== undefined) onSaved(first.index, first.index + ready.entries.length - 1);
      if (ready.save !== undefined) raft.saved(ready.save);
      held.isSaved = true;
      if (ready.messagesAfterSave.length > 0) {
        send(ready.messagesAfterSave);
        if (ready.committedEntries.length > 0) return false;
      }
    }
    if (ready.committedEntries.length === 0) return true;
    held.prepared ??= applier.prepare(ready.committedEntries);
    const began = clock.now();
    const applied = applier.apply(held.prepared);
    onApplied(applied, held.prepared, clock.now() - began);
    return true;
  }
}

function heldOf(ready: Ready): Held {
  return { ready, isInstalled: false, isSaved: false, prepared: undefined };
}

function isConfChange({ kind }: Entry): boolean {
  return kind === "conf-change";
}

function needsDisk(ready: Ready): boolean {
  return (
    ready.save !== undefined ||
    ready.committedEntries.length > 0 ||
    ready.messagesAfterSave.length > 0
  );
}
