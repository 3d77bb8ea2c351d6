import { CofferError } from "../errors.ts";
import type { Message, Raft } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  type ForwardMessage,
  type ForwardReply,
  type ForwardRequest,
  decodeForward,
  decodeMessages,
  encodeForward,
} from "../wire/mod.ts";
import type { Directory } from "./directory.ts";
import type { Fleet } from "./fleet.ts";
import type { ChangeMark } from "./change-mark.ts";
import type { CommitNews } from "./commit-news.ts";
import type { Introductions } from "./introductions.ts";
import type { LeaderWatch } from "./leadership.ts";
import type { Membership } from "./membership.ts";
import type { Channel, Peers, StateMachine } from "./ports.ts";
import type { Proposer } from "./proposer.ts";
import type { Requests } from "./requests.ts";
import type { SnapshotExchange } from "./snapshot-exchange.ts";

/** Milliseconds between two answers to one removed member that still talks. */
const REMOVED_ANSWER_MS = 1000;
/** Payloads that wait for the end of the turn; past it the oldest channel of loss is this one. */
const INBOX_MAX = 65_536;

export interface InboxDeps {
  readonly self: MemberId;
  readonly raft: Raft;
  readonly directory: Directory;
  readonly peers: Peers;
  readonly proposer: Proposer;
  readonly requests: Requests;
  readonly leadership: LeaderWatch;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly machine: Pick<StateMachine, "reader">;
  readonly fleet: Pick<Fleet, "report">;
  readonly membership: Pick<Membership, "serve">;
  readonly snapshots: Pick<SnapshotExchange, "receive">;
  readonly changeMark: ChangeMark;
  readonly introductions: Introductions;
  readonly news: Pick<CommitNews, "hurry">;
  /** Whether this member has a vote, by what it has applied. */
  isVoter(): boolean;
  /** Another member says that this one was removed. */
  onRemoved(by: string): void;
  /** Something waits for the end of the turn. */
  onWork(): void;
}

interface Received {
  readonly from: string;
  readonly channel: Channel;
  readonly payload: Uint8Array;
}

/**
 * What other members send. All that comes in one turn is taken in at its end, together. The transport
 * vouches for the sender's name, and the directory for its id; a message that claims another one is
 * dropped.
 */
export class Inbox {
  readonly #deps: InboxDeps;
  #waiting: Received[] = [];
  readonly #toldRemoved = new Map<MemberId, number>();

  constructor(deps: InboxDeps) {
    this.#deps = deps;
  }

  receive(from: string, channel: Channel, payload: Uint8Array): void {
    if (channel === "snap") {
      if (this.#deps.directory.idOf(from) !== undefined)
        this.#deps.snapshots.receive(from, payload);
      return;
    }
    if (this.#waiting.length >= INBOX_MAX) return;
    this.#waiting.push({ from, channel, payload });
    this.#deps.onWork();
  }

  /** Takes in all that waits. */
  take(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const { from, channel, payload } of waiting) {
      try {
        if (channel === "raft") this.#takeRaft(from, payload);
        else this.#takeForward(from, decodeForward(payload));
      } catch (error) {
        if (!(error instanceof CofferError)) throw error;
        this.#deps.logger.warn("Message of a member dropped: it cannot be read", {
          from,
          channel,
          cause: error,
        });
      }
    }
  }

  #takeRaft(from: string, payload: Uint8Array): void {
    const { raft, directory, leadership, news } = this.#deps;
    const sender = directory.idOf(from);
    if (sender !== undefined) leadership.heardOf(sender);
    for (const message of decodeMessages(payload)) {
      if (message.from !== sender) {
        this.#turnAway(from, message);
        return;
      }
      // Proposals come as batches that tell whose they are; leadership is moved by the leader alone.
      if (message.kind === "propose" || message.kind === "transfer-leader") continue;
      if (message.kind === "read-index") news.hurry(message.from);
      raft.step(message);
    }
  }

  /** A removed member is told so, or it would ask for votes for ever. */
  #turnAway(from: string, message: Message): void {
    const { logger, machine } = this.#deps;
    if (machine.reader.isRemovedMember(message.from)) {
      this.#tellRemoved(from, message.from);
      return;
    }
    // Of one that joined after all that is applied here; if it leads, its name is asked for.
    if (this.#deps.directory.idOf(from) === undefined) return;
    logger.warn("Message of a member dropped: it claims another's id", {
      from,
      claims: message.from.toString(16),
    });
  }

  /** Those that this member knows to be removed and has a name of are told so at once. */
  tellRemovedMembers(): void {
    const { directory } = this.#deps;
    for (const name of directory.others()) {
      for (const removed of directory.removedUnder(name)) this.#tellRemoved(name, removed);
    }
  }

  #tellRemoved(to: string, member: MemberId): void {
    const { clock, peers, changeMark, isVoter } = this.#deps;
    // It ends on this word, and asks again until it has it. From then on nobody may need its vote: a
    // voter that has saved the commit makes the others know of it, a learner is never asked.
    if (!changeMark.isSafe || !isVoter()) return;
    const now = clock.now();
    const last = this.#toldRemoved.get(member);
    if (last !== undefined && now - last < REMOVED_ANSWER_MS) return;
    this.#toldRemoved.set(member, now);
    peers.send(to, "fwd", encodeForward({ kind: "removed", member }));
  }

  #takeForward(from: string, message: ForwardMessage): void {
    const { self, directory, proposer, requests, leadership, news, onRemoved } = this.#deps;
    const sender = directory.idOf(from);
    if (sender === undefined) {
      const removed = directory.removedUnder(from);
      for (const member of removed) this.#tellRemoved(from, member);
      // A member to be knows nothing of anybody, and nobody of it.
      if (removed.length === 0 && message.kind === "request" && isIntroduction(message.body)) {
        this.#serve(from, message.id, message.body);
      }
      return;
    }
    leadership.heardOf(sender);
    switch (message.kind) {
      case "propose":
        news.hurry(sender);
        proposer.take(sender, message);
        return;
      case "propose-refused":
        proposer.refused(sender, message);
        return;
      case "request":
        this.#serve(from, message.id, message.body);
        return;
      case "reply":
        requests.answered(sender, message.id, message.body);
        return;
      case "removed":
        // One member's word is enough: it has applied the removal, which therefore is committed, and
        // ids are never used again. A majority might never say it, as where one of two is left.
        if (message.member === self) onRemoved(from);
        return;
    }
  }

  #serve(from: string, id: number, body: ForwardRequest): void {
    const { introductions } = this.#deps;
    switch (body.kind) {
      case "who-am-i":
        this.#reply(from, id, introductions.whoIs(body.name));
        return;
      case "join":
        introductions.introduce(body.name, (reply) => this.#reply(from, id, reply));
        return;
      case "status":
        this.#reply(from, id, { kind: "status", report: this.#deps.fleet.report() });
        return;
      case "change-members":
        this.#deps.membership.serve(body.change, body.actor).then(
          () => this.#reply(from, id, { kind: "done" }),
          (error: unknown) => this.#reply(from, id, this.#errorReply(error)),
        );
        return;
    }
  }

  #errorReply(error: unknown): ForwardReply {
    if (error instanceof CofferError) return { kind: "error", code: error.code, detail: "" };
    this.#deps.logger.error("A change of members failed", { cause: error });
    return { kind: "error", code: "internal", detail: "" };
  }

  #reply(to: string, id: number, body: ForwardReply): void {
    this.#deps.peers.send(to, "fwd", encodeForward({ kind: "reply", id, body }));
  }
}

function isIntroduction({ kind }: ForwardRequest): boolean {
  return kind === "who-am-i" || kind === "join";
}
