import { assert } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { EMPTY_CONF } from "./conf-change.ts";
import { Progress } from "./progress.ts";
import { countVotes, joinVotes, majorityReached, type VoteResult } from "./quorum.ts";
import type { ConfState, RaftLimits } from "./types.ts";

/**
 * The configuration in force, the progress of each of its members, and what a quorum of it says.
 * Arrays of Progress stand beside the map: the quorum is asked for at every acknowledgement.
 */
export class Tracker {
  readonly #self: MemberId;
  readonly #limits: RaftLimits;
  #conf: ConfState = EMPTY_CONF;
  #progress = new Map<MemberId, Progress>();
  #incoming: readonly Progress[] = [];
  #outgoing: readonly Progress[] = [];
  #peers: readonly Progress[] = [];
  #own: Progress | undefined;
  readonly #scratch: number[] = [];

  constructor(self: MemberId, limits: RaftLimits) {
    this.#self = self;
    this.#limits = limits;
  }

  get conf(): ConfState {
    return this.#conf;
  }

  /** All members but this one. */
  get peers(): readonly Progress[] {
    return this.#peers;
  }

  /** This member's own, if it belongs to the configuration. */
  get own(): Progress | undefined {
    return this.#own;
  }

  get(id: MemberId): Progress | undefined {
    return this.#progress.get(id);
  }

  isVoter(id: MemberId): boolean {
    return this.#conf.voters.includes(id) || this.#conf.votersOutgoing.includes(id);
  }

  get selfIsVoter(): boolean {
    return this.#own !== undefined && !this.#own.isLearner;
  }

  get selfIsOnlyVoter(): boolean {
    return (
      this.selfIsVoter &&
      this.#incoming.every((progress) => progress === this.#own) &&
      this.#outgoing.every((progress) => progress === this.#own)
    );
  }

  /**
   * Puts `conf` into force. Members that stay keep their progress; new ones are probed at `next`.
   */
  setConf(conf: ConfState, next: number): void {
    const before = this.#progress;
    this.#progress = new Map();
    const take = (id: MemberId): Progress => {
      let progress = this.#progress.get(id);
      if (progress === undefined) {
        progress = before.get(id);
        if (progress === undefined) {
          progress = new Progress(id, next, this.#limits);
          // A new member had no chance to be heard yet: it must not cost the leader its quorum.
          progress.recentActive = true;
        }
        this.#progress.set(id, progress);
      }
      return progress;
    };
    this.#incoming = conf.voters.map(take);
    this.#outgoing = conf.votersOutgoing.map(take);
    for (const progress of this.#progress.values()) progress.isLearner = false;
    for (const id of conf.learners) take(id).isLearner = true;
    for (const id of conf.learnersNext) {
      assert(conf.votersOutgoing.includes(id), "A learner to be is not an outgoing voter");
    }
    this.#conf = conf;
    this.#collect();
  }

  /** Forgets all progress, as a member does when its term or role changes. */
  reset(lastIndex: number): void {
    for (const id of this.#progress.keys()) {
      const progress = new Progress(id, lastIndex + 1, this.#limits);
      progress.isLearner = this.#progress.get(id)?.isLearner ?? false;
      this.#progress.set(id, progress);
    }
    const at = (id: MemberId): Progress => this.#progress.get(id) as Progress;
    this.#incoming = this.#conf.voters.map(at);
    this.#outgoing = this.#conf.votersOutgoing.map(at);
    this.#collect();
  }

  /** The highest index that a quorum has saved. */
  committedIndex(): number {
    return Math.min(
      majorityReached(this.#gather(this.#incoming, "match")),
      majorityReached(this.#gather(this.#outgoing, "match")),
    );
  }

  /** The newest read round that a quorum has acknowledged. */
  acknowledgedRound(): number {
    return Math.min(
      majorityReached(this.#gather(this.#incoming, "round")),
      majorityReached(this.#gather(this.#outgoing, "round")),
    );
  }

  /** Whether a quorum was heard of since the last call. This member hears itself. */
  takeQuorumActive(): boolean {
    const votes = new Map<MemberId, boolean>();
    for (const progress of this.#progress.values()) {
      votes.set(progress.id, progress.recentActive || progress === this.#own);
      progress.recentActive = false;
    }
    return this.voteResult(votes) === "won";
  }

  voteResult(votes: ReadonlyMap<MemberId, boolean>): VoteResult {
    return joinVotes(tally(this.#incoming, votes), tally(this.#outgoing, votes));
  }

  #gather(half: readonly Progress[], of: "match" | "round"): number[] {
    const values = this.#scratch;
    values.length = half.length;
    for (let i = 0; i < half.length; i++) values[i] = (half[i] as Progress)[of];
    return values;
  }

  #collect(): void {
    this.#own = this.#progress.get(this.#self);
    // In the order of ids, so that equal members send in equal order however they came to be.
    this.#peers = [...this.#progress.values()]
      .filter((progress) => progress.id !== this.#self)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

function tally(half: readonly Progress[], votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  let granted = 0;
  let refused = 0;
  for (const { id } of half) {
    const vote = votes.get(id);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  return countVotes(half.length, granted, refused);
}
