import { CofferError, type ErrorCode } from "../errors.ts";
import {
  type ConfChangeSingle,
  type ConfState,
  NO_MEMBER,
  type ProposeResult,
  type Raft,
} from "../core/raft/mod.ts";
import {
  type Actor,
  type ApplyResult,
  CLUSTER_SCOPE,
  type MemberChange,
  type MemberCommand,
  type MemberId,
  type MemberInfo,
  type Proposal,
  type StateReader,
} from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import { encodeProposals } from "../wire/mod.ts";
import type { ChangeMark } from "./change-mark.ts";
import type { LeaderWatch } from "./leadership.ts";
import { refuseChange } from "./member-rules.ts";
import type { ProposalQueue } from "./proposal-queue.ts";
import type { Proposer } from "./proposer.ts";
import type { Requests } from "./requests.ts";
import type { NodeRules } from "./rules.ts";
import type { Waits } from "./waits.ts";

/** Milliseconds before something that could not be done right now is tried again. */
const RETRY_MS = 50;

/** Those that change the configuration of the log too. */
type ConfMemberChange = Exclude<MemberChange, { readonly kind: "update" }>;

export interface MembershipDeps {
  readonly self: MemberId;
  readonly raft: Raft;
  readonly state: StateReader;
  readonly clock: Clock;
  readonly waits: Waits;
  readonly queue: ProposalQueue;
  readonly proposer: Proposer;
  readonly leadership: LeaderWatch;
  readonly requests: Requests;
  readonly changeMark: ChangeMark;
  readonly rules: NodeRules;
  readonly requestTimeoutMs: number;
  readonly electionMs: number;
  confState(): ConfState;
  nameOf(id: MemberId): string | undefined;
  /** Whether all that earlier leaders have committed is applied here, and this member leads. */
  isReady(): boolean;
  isStopped(): boolean;
  /** Whether another member has said that this one is removed. */
  isEnding(): boolean;
  propose(proposal: Proposal): Promise<ApplyResult>;
  transferLeadership(): Promise<boolean>;
  onWork(): void;
}

/**
 * Changes of members. The leader alone judges them, by its applied state; any other member asks it.
 * The change of the configuration and the row of the member table are one entry of the log.
 */
export class Membership {
  readonly #deps: MembershipDeps;
  /** Changes judged by this member, one after the other. */
  #running: Promise<unknown> = Promise.resolve();
  /** When this member last handed leadership over because it was to be removed. */
  #gaveWayAt = Number.NEGATIVE_INFINITY;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
  }

  /** As `Node.changeMembers`. */
  async change(change: MemberChange, actor: Actor): Promise<void> {
    const { clock, requestTimeoutMs, electionMs } = this.#deps;
    if (change.kind === "update") return this.#update(change, actor);
    const since = clock.now();
    const deadline = since + requestTimeoutMs;
    // What was so before is no sign of success, but for the leader to judge.
    const isNews = !this.#shows(change);
    const isDone = (): boolean => isNews && this.#shows(change);
    for (let tries = 1; ; tries++) {
      const outcome = await this.#try(change, actor, { deadline, isDone });
      if (outcome === "done" || isDone()) break;
      // Asked again, the leader refuses what it has done already: then it will show here soon.
      const mayBeDone = tries > 1 && outcome !== "again" && isAboutRepetition(outcome.code);
      if (mayBeDone && (await this.#deps.waits.until(electionMs, isDone))) return;
      if (outcome !== "again" && !isAboutLeader(outcome.code)) throw outcome;
      await this.#pause();
      this.#checkTime(since, deadline);
    }
    const left = deadline - clock.now();
    const isOver = (): boolean => this.#shows(change) && this.#isSafe(change);
    if (await this.#deps.waits.until(left, isOver)) return;
    throw this.#deps.leadership.timeoutError(since);
  }

  /** Does what another member asks for, if this one leads. Throws the refusal. */
  async serve(change: MemberChange, actor: Actor): Promise<void> {
    const { raft, clock, requestTimeoutMs } = this.#deps;
    if (raft.role !== "leader") throw new CofferError("not-leader");
    if (change.kind === "update") return this.#update(change, actor);
    await this.#lead(change, actor, clock.now() + requestTimeoutMs);
  }

  /** The refusal; "again" if there is no answer, and the change may have been made or not. */
  async #try(
    change: ConfMemberChange,
    actor: Actor,
    { deadline, isDone }: { readonly deadline: number; readonly isDone: () => boolean },
  ): Promise<CofferError | "done" | "again"> {
    const { self, raft, clock, waits, requests } = this.#deps;
    const left = (): number => deadline - clock.now();
    await waits.until(left(), () => raft.leader !== NO_MEMBER);
    const { leader } = raft;
    if (leader === NO_MEMBER) return "again";
    if (leader === self) {
      try {
        await this.#lead(change, actor, deadline);
        return "done";
      } catch (error) {
        if (error instanceof CofferError) return error;
        throw error;
      }
    }
    // The answer may be lost with its leader; the applied change is an answer too.
    const isMoot = (): boolean => isDone() || (raft.leader !== leader && raft.leader !== NO_MEMBER);
    const body = { kind: "change-members", change, actor } as const;
    const asked = requests.ask(leader, body, left());
    const reply = await Promise.race([asked, waits.until(left(), isMoot)]);
    if (typeof reply === "boolean" || reply === undefined) return "again";
    return reply.kind === "error" ? new CofferError(reply.code) : "done";
  }

  async #lead(change: ConfMemberChange, actor: Actor, deadline: number): Promise<void> {
    const before = this.#running;
    const work = before.then(() => this.#judge(change, actor, deadline));
    this.#running = work.catch(() => undefined);
    await work;
  }

  async #judge(change: ConfMemberChange, actor: Actor, deadline: number): Promise<void> {
    const { self, raft, clock, waits, leadership, isReady } = this.#deps;
    const since = clock.now();
    for (;;) {
      await waits.until(deadline - clock.now(), () => isReady() || raft.role !== "leader");
      if (raft.role !== "leader") throw new CofferError("not-leader");
      this.#checkTime(since, deadline);
      const code = refuseChange(this.#view(), change);
      if (code !== undefined) throw new CofferError(code);
      // A leader that is to go hands over first: else nobody leads until an election timeout is over.
      if (change.kind === "remove" && change.id === self && this.#mayGiveWay()) {
        this.#gaveWayAt = clock.now();
        if (await this.#deps.transferLeadership()) throw new CofferError("leader-changed");
        // Another may have led meanwhile, and this one not be ready to lead again.
        continue;
      }
      const refused = await this.#propose(change, actor, deadline);
      if (refused === undefined) {
        const left = deadline - clock.now();
        if (await waits.until(left, () => this.#isSafe(change))) return;
        throw leadership.timeoutError(since);
      }
      // The change before is not finished, or leadership is on its way: a little later.
      if (refused !== "conflict" && refused !== "leader-changed") throw new CofferError(refused);
      await this.#pause();
      this.#checkTime(since, deadline);
    }
  }

  /**
   * Once for each request: who leads again although it gave way removes itself. Two members, both to
   * be removed, would hand leadership to and fro until the time of one request is over, and the lease
   * clock would lose a little each time.
   */
  #mayGiveWay(): boolean {
    const { clock, leadership, requestTimeoutMs, rules } = this.#deps;
    const since = clock.now() - this.#gaveWayAt;
    return rules.mayGiveWay(since, requestTimeoutMs) && leadership.successor() !== undefined;
  }

  /** Why it was not appended; resolves once it is applied. */
  async #propose(
    change: ConfMemberChange,
    actor: Actor,
    deadline: number,
  ): Promise<ErrorCode | undefined> {
    const { raft, clock, queue, proposer, onWork } = this.#deps;
    const { number, name } = queue.nextNumber();
    const proposal: Proposal = {
      tenant: CLUSTER_SCOPE,
      policyRevision: undefined,
      actor,
      command: this.#commandOf(change),
    };
    const context = encodeProposals(proposer.header(name), [proposal]);
    const changes = [singleOf(change)];
    const proposed: ProposeResult = raft.proposeConfChange({
      transition: "auto",
      changes,
      context,
    });
    if (proposed.kind !== "appended") {
      return proposed.kind === "refused" ? proposed.code : "not-leader";
    }
    const result = await new Promise<ApplyResult>((resolve, reject) => {
      const since = clock.now();
      const waiting = { proposal, bytes: 0, since, deadline, resolve, reject };
      queue.launched(number, [waiting], { term: proposed.term, now: since, whenLost: "fail" });
      onWork();
    });
    if (result.kind === "error") throw new CofferError(result.code, result.detail);
    return undefined;
  }

  /** An update changes the table alone: the log decides, like any proposal. */
  async #update(change: Extract<MemberChange, { kind: "update" }>, actor: Actor): Promise<void> {
    if (change.peerUrls.length === 0) throw new CofferError("member-bad-urls");
    // Apply compares whole URLs. A member that has not started is named by the host alone, and under
    // another's name it would take that one's messages.
    const refused = refuseChange(this.#view(), change);
    if (refused !== undefined) throw new CofferError(refused);
    const { id, peerUrls } = change;
    const result = await this.#deps.propose({
      tenant: CLUSTER_SCOPE,
      policyRevision: undefined,
      actor,
      command: { kind: "member-update", id, peerUrls },
    });
    if (result.kind === "error") throw new CofferError(result.code, result.detail);
  }

  #commandOf(change: ConfMemberChange): MemberCommand {
    switch (change.kind) {
      case "add": {
        const { id, peerUrls, isLearner } = change;
        // It names itself when it first starts (etcd: an unstarted member has no name).
        const member: MemberInfo = { id, name: "", peerUrls, clientUrls: [], isLearner };
        return { kind: "member-add", member };
      }
      case "remove":
        return { kind: "member-remove", id: change.id };
      case "promote":
        return { kind: "member-promote", id: change.id };
    }
  }

  #view(): Parameters<typeof refuseChange>[0] {
    const { self, raft, state, leadership } = this.#deps;
    const { peers, lastIndex } = raft.status();
    return {
      members: this.members(),
      isRemoved: (id) => state.isRemovedMember(id),
      isConnected: (id) => leadership.isConnected(id),
      match: (id) => (id === self ? lastIndex : (peers.find((peer) => peer.id === id)?.match ?? 0)),
      lastIndex,
    };
  }

  /** The table, and those of the first members of whom it does not tell yet. */
  members(): readonly MemberInfo[] {
    const { state, confState, nameOf } = this.#deps;
    const { voters, learners } = confState();
    const known = state.members();
    const row = (id: MemberId, isLearner: boolean): MemberInfo =>
      known.find((one) => one.id === id) ?? unnamed(id, nameOf(id), isLearner);
    return [...voters.map((id) => row(id, false)), ...learners.map((id) => row(id, true))];
  }

  /**
   * Whether a member that was removed may be switched off: it is not needed to make that known. This
   * member's own log says nothing of that to the others; one of them has to say so.
   */
  #isSafe(change: ConfMemberChange): boolean {
    const { self, changeMark, isEnding } = this.#deps;
    if (change.kind !== "remove") return true;
    return change.id === self ? isEnding() : changeMark.isSafe;
  }

  /** Whether the state here holds what the change is to bring about. */
  #shows(change: ConfMemberChange): boolean {
    const { state } = this.#deps;
    switch (change.kind) {
      case "add":
        return state.members().some(({ id }) => id === change.id);
      case "remove":
        return state.isRemovedMember(change.id);
      case "promote":
        return state.members().some(({ id, isLearner }) => id === change.id && !isLearner);
    }
  }

  #checkTime(since: number, deadline: number): void {
    const { clock, leadership, isStopped } = this.#deps;
    if (isStopped()) throw new CofferError("stopped");
    if (clock.now() >= deadline) throw leadership.timeoutError(since);
  }

  async #pause(): Promise<void> {
    await this.#deps.waits.until(RETRY_MS, () => false);
  }
}

/** A member that has not announced itself, by the name that it will have. */
function unnamed(id: MemberId, name: string | undefined, isLearner: boolean): MemberInfo {
  const peerUrls = name === undefined ? [] : [`https://${name}:2380`];
  return { id, name: "", peerUrls, clientUrls: [], isLearner };
}

/** Refusals that say that nothing was done, and that another member may do it. */
function isAboutLeader(code: ErrorCode): boolean {
  return code === "not-leader" || code === "leader-changed" || code === "no-leader";
}

/** Refusals of a change that has been made before. */
function isAboutRepetition(code: ErrorCode): boolean {
  return code === "member-exists" || code === "member-not-found" || code === "member-not-learner";
}

function singleOf(change: ConfMemberChange): ConfChangeSingle {
  switch (change.kind) {
    case "add":
      return { type: change.isLearner ? "add-learner" : "add-voter", id: change.id };
    case "promote":
      return { type: "add-voter", id: change.id };
    case "remove":
      return { type: "remove", id: change.id };
  }
}
