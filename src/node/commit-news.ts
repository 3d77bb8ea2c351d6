import type { AppendMessage, Message } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Cancel, Clock, Scheduler } from "../stdx/mod.ts";

/** Milliseconds that the news of a commit waits for entries to go with. */
const HELD_MS = 4;
/** Milliseconds for which a member that has asked something is told of commits at once. */
const HURRIED_MS = 1000;

export interface CommitNewsDeps {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  send(messages: readonly Message[]): void;
}

interface Held {
  readonly message: AppendMessage;
  readonly due: number;
}

/**
 * Holds back appends without entries, whose news is mostly a commit, so that the next entries bring it:
 * sent at once, each write of a client that waits for the one before it costs the cluster a second
 * round of messages, in the way of the next. Raft takes them as late ones of the network.
 *
 * Not for members whose own clients wait: those forwarded a write or asked for a read just now, and
 * answer by what they have applied.
 */
export class CommitNews {
  readonly #deps: CommitNewsDeps;
  readonly #held = new Map<MemberId, Held>();
  readonly #hurriedUntil = new Map<MemberId, number>();
  #cancel: Cancel | undefined;

  constructor(deps: CommitNewsDeps) {
    this.#deps = deps;
  }

  /** Sends what is not to be held back. */
  send(messages: readonly Message[]): void {
    const now = this.#deps.clock.now();
    const leaving = messages.filter(
      (message) => message.kind !== "append" || this.#lets(message, now),
    );
    if (leaving.length > 0) this.#deps.send(leaving);
    this.#wake(now);
  }

  /** The member's clients wait for what it applies. */
  hurry(member: MemberId): void {
    this.#hurriedUntil.set(member, this.#deps.clock.now() + HURRIED_MS);
    const held = this.#held.get(member);
    if (held === undefined) return;
    this.#held.delete(member);
    this.#deps.send([held.message]);
  }

  /** Sends all that is held back. */
  sendHeld(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#held.size === 0) return;
    const messages = [...this.#held.values()].map(({ message }) => message);
    this.#held.clear();
    this.#deps.send(messages);
  }

  #lets(message: AppendMessage, now: number): boolean {
    const { to, entries } = message;
    const held = this.#held.get(to);
    if (entries.length > 0 || now < (this.#hurriedUntil.get(to) ?? 0)) {
      // It tells of all that the one held back does.
      if (held !== undefined) this.#held.delete(to);
      return true;
    }
    this.#held.set(to, { message, due: held?.due ?? now + HELD_MS });
    return false;
  }

  #wake(now: number): void {
    if (this.#cancel !== undefined || this.#held.size === 0) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.#held.values()) next = Math.min(next, due);
    this.#cancel = this.#deps.scheduler.after(Math.max(0, next - now), () => this.#onDue());
  }

  #onDue(): void {
    this.#cancel = undefined;
    const now = this.#deps.clock.now();
    const due = [...this.#held.values()].filter((held) => held.due <= now);
    for (const { message } of due) this.#held.delete(message.to);
    if (due.length > 0) this.#deps.send(due.map(({ message }) => message));
    this.#wake(now);
  }
}
