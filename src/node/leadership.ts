import { CofferError } from "../errors.ts";
import { type Leadership, NO_MEMBER, type Raft } from "../core/raft/mod.ts";
import type { MemberId } from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Waits } from "./waits.ts";

export interface LeaderWatchDeps {
  readonly self: MemberId;
  readonly raft: Raft;
  readonly clock: Clock;
  readonly waits: Waits;
  readonly electionMs: number;
  /** Lets raft's work of this moment be done soon. */
  readonly onWork: () => void;
}

export type LeadershipListener = (leader: MemberId) => void;

/** Who leads, since when, who is heard of, and handing leadership over. */
export class LeaderWatch {
  readonly #deps: LeaderWatchDeps;
  readonly #listeners = new Set<LeadershipListener>();
  readonly #heard = new Map<MemberId, number>();
  #leader: MemberId = NO_MEMBER;
  /** When this member learnt of the present leader, or the last one. */
  #electedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: LeaderWatchDeps) {
    this.#deps = deps;
  }

  /** True if another member leads than before, or none. */
  changed({ leader }: Leadership): boolean {
    if (leader === this.#leader) return false;
    this.#leader = leader;
    if (leader !== NO_MEMBER) this.#electedAt = this.#deps.clock.now();
    for (const listener of this.#listeners) listener(leader);
    return true;
  }

  listen(listener: LeadershipListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  heardOf(member: MemberId): void {
    this.#heard.set(member, this.#deps.clock.now());
  }

  /** Whether the member is this one, or was heard of within an election timeout. */
  isConnected(member: MemberId): boolean {
    const { self, clock, electionMs } = this.#deps;
    if (member === self) return true;
    const heard = this.#heard.get(member);
    return heard !== undefined && clock.now() - heard <= electionMs;
  }

  /**
   * What a request that has waited since `since` is told when its time is over (etcd
   * server/etcdserver/server.go parseProposeCtxErr): that the leader was lost meanwhile, or that the
   * members cannot be reached, if that may be why.
   */
  timeoutError(since: number): CofferError {
    const { raft, self, electionMs } = this.#deps;
    const lostAt = this.#electedAt - 2 * electionMs;
    if (since > lostAt && since < this.#electedAt) return new CofferError("timeout-leader-failure");
    if (raft.leader === NO_MEMBER) return new CofferError("timeout");
    const reaches = raft.leader === self ? this.#reachesQuorum() : this.isConnected(raft.leader);
    return new CofferError(reaches ? "timeout" : "timeout-connection-lost");
  }

  /** Hands leadership to `to`. True once that member leads; false after an election timeout. */
  async transfer(to: MemberId): Promise<boolean> {
    const { raft, waits, electionMs, onWork } = this.#deps;
    const result = raft.transferLeader(to);
    if (result.kind === "refused") throw new CofferError(result.code);
    onWork();
    return waits.until(electionMs, () => raft.leader === to);
  }

  /**
   * The voter that can take over soonest: the one that has most of the log. With `isCaughtUp`, only
   * one that has all of it saved.
   */
  successor(isCaughtUp = false): MemberId | undefined {
    const { self, raft } = this.#deps;
    const { peers, confState, lastIndex } = raft.status();
    let best: { readonly id: MemberId; readonly match: number } | undefined;
    for (const { id, match } of peers) {
      if (id === self || !confState.voters.includes(id)) continue;
      if (!this.isConnected(id) || (isCaughtUp && match < lastIndex)) continue;
      if (best === undefined || match > best.match) best = { id, match };
    }
    return best?.id;
  }

  #reachesQuorum(): boolean {
    const { voters, votersOutgoing } = this.#deps.raft.status().confState;
    return [voters, votersOutgoing].every((half) => {
      const reached = half.filter((id) => this.isConnected(id)).length;
      return half.length === 0 || reached > half.length / 2;
    });
  }
}
