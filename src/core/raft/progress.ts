import { assert } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { Inflights } from "./inflights.ts";
import type { PeerStatus, ProgressState, RaftLimits } from "./types.ts";

/**
 * What the leader knows of one member, and how it sends to it.
 *
 *     probe ──accepted──> replicate        probe: one message at a time, until a place agrees
 *       ^ <──rejected───────┘ │            replicate: a stream, up to the bounds in flight
 *       │                     v            snapshot: nothing until the peer is past the gap
 *       └──acknowledged── snapshot  (entered from both, when the entries needed are compacted)
 *
 * Invariant: match < next; match only grows within a term.
 */
export class Progress {
  readonly id: MemberId;
  isLearner = false;
  /** The highest index known to agree and to be saved there. */
  match = 0;
  /** The next index to send. */
  next: number;
  /** Any message came since the last quorum check. */
  recentActive = false;
  /** The newest read round that the peer has acknowledged. */
  round = 0;
  /** The peer knows no configuration yet; see AppendRespMessage. */
  needsSnapshot = false;
  readonly inflights: Inflights;
  #state: ProgressState = "probe";
  #pendingSnapshot = 0;
  /** Not to be sent to until the peer answers, be it a heartbeat. */
  #paused = false;
  /** To be sent to even if there is nothing new: its answer shows what it has. */
  #poked = false;
  /** The highest commit index sent; saves messages that tell nothing. */
  #sentCommit = 0;

  constructor(id: MemberId, next: number, limits: RaftLimits) {
    this.id = id;
    this.next = next;
    this.inflights = new Inflights({
      countMax: limits.inflightMessagesMax,
      bytesMax: limits.inflightBytesMax,
    });
  }

  get state(): ProgressState {
    return this.#state;
  }

  get pendingSnapshot(): number {
    return this.#pendingSnapshot;
  }

  get isPaused(): boolean {
    return this.#state === "snapshot" || this.#paused;
  }

  becomeProbe(): void {
    // A snapshot that was given up may still have arrived; ask from behind it.
    this.next = Math.max(this.match, this.#pendingSnapshot) + 1;
    this.#reset("probe");
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#reset("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.needsSnapshot = false;
    this.#reset("snapshot");
    this.#pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** Whether an append, be it empty, should go out now. */
  wantsAppend(lastIndex: number, commit: number): boolean {
    if (this.isPaused) return false;
    if (this.#poked) return true;
    if (this.#state === "probe") return this.match < lastIndex;
    if (this.inflights.isFull) return false;
    return this.next <= lastIndex || this.#owesCommit(commit);
  }

  /** Whether an append that goes out now may carry entries. */
  get mayCarryEntries(): boolean {
    return this.#state === "probe" || !this.inflights.isFull;
  }

  sentAppend(sent: {
    readonly last: number;
    readonly bytes: number;
    readonly commit: number;
  }): void {
    this.#poked = false;
    this.#sentCommit = Math.max(this.#sentCommit, Math.min(sent.commit, sent.last));
    if (this.#state === "probe") {
      this.#paused = true;
      return;
    }
    assert(this.#state === "replicate", "An append was sent to a peer that waits for a snapshot");
    if (sent.last >= this.next) {
      this.inflights.add(sent.last, sent.bytes);
      this.next = sent.last + 1;
    }
    // Full: one empty append per heartbeat still goes out, to find out about lost answers.
    if (this.inflights.isFull) this.#paused = true;
  }

  sentHeartbeat(commit: number): void {
    this.#sentCommit = Math.max(this.#sentCommit, commit);
  }

  /** The peer has all entries up to `index`. True if that is news. */
  accepted(index: number, firstIndex: number): boolean {
    this.#paused = false;
    const isNews = index > this.match;
    if (isNews) this.match = index;
    if (this.next <= this.match) this.next = this.match + 1;
    switch (this.#state) {
      case "probe":
        // An old answer proves nothing about the place being probed, but a match is a match.
        this.becomeReplicate();
        break;
      case "replicate":
        this.inflights.freeTo(index);
        break;
      case "snapshot":
        // Any acknowledgement that reaches the log kept here ends it, whatever brought it there.
        if (isNews && this.match + 1 >= firstIndex) this.becomeReplicate();
        // The snapshot came, and the log was compacted past it meanwhile: the next one is due.
        else if (this.match >= this.#pendingSnapshot) this.becomeProbe();
        break;
    }
    return isNews;
  }

  /** The peer refused an append at `index`; it may agree up to `hint`. False: an old refusal. */
  rejected(index: number, hint: number): boolean {
    if (this.#state === "replicate") {
      if (index <= this.match) return false;
      this.next = this.match + 1;
      this.#reset("probe");
      return true;
    }
    if (this.#state === "snapshot" || this.next - 1 !== index) return false;
    this.next = Math.max(Math.min(index, hint + 1), this.match + 1);
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
    this.#paused = false;
    return true;
  }

  /** A heartbeat was answered: the peer lives, so what was not answered may be lost. */
  heartbeatAnswered(lastIndex: number): void {
    this.recentActive = true;
    if (this.#state === "snapshot") return;
    this.#paused = false;
    if (this.match < lastIndex || this.#state === "probe") this.#poked = true;
  }

  unreachable(): void {
    if (this.#state === "replicate") this.becomeProbe();
  }

  snapshotEnded(delivered: boolean): void {
    if (this.#state !== "snapshot") return;
    if (!delivered) this.#pendingSnapshot = 0;
    this.becomeProbe();
    // Wait for the peer's answer to the snapshot, or for a heartbeat, before probing.
    this.#paused = true;
  }

  status(): PeerStatus {
    return {
      id: this.id,
      isLearner: this.isLearner,
      state: this.#state,
      match: this.match,
      next: this.next,
      recentActive: this.recentActive,
      paused: this.isPaused,
      inflightMessages: this.inflights.count,
      inflightBytes: this.inflights.bytes,
      pendingSnapshot: this.#pendingSnapshot,
    };
  }

  #owesCommit(commit: number): boolean {
    // Only a commit that the peer can take in is worth a message: it ends where its log does.
    return Math.min(commit, this.next - 1) > this.#sentCommit;
  }

  #reset(state: ProgressState): void {
    this.#state = state;
    this.#pendingSnapshot = 0;
    this.#paused = false;
    this.#poked = false;
    this.inflights.clear();
  }
}
