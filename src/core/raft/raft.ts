import { assert } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { campaign, ownVoteSaved } from "./candidate.ts";
import { changeConf } from "./conf-change.ts";
import { decodeConfChange, encodeConfChange } from "./conf-change-codec.ts";
import {
  acceptRead,
  confChanged,
  flush,
  maybeLeaveJoint,
  proposeOwn,
  refusal,
  transferTo,
} from "./leader.ts";
import { send } from "./outbox.ts";
import { takeReady } from "./ready.ts";
import { ownLogSaved } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { RULES, type Rules } from "./rules.ts";
import { createState, type RaftState } from "./state.ts";
import { stateStatus } from "./status.ts";
import { step, tick } from "./step.ts";
import {
  NO_MEMBER,
  type ConfChange,
  type ConfState,
  type Entry,
  type Message,
  type ProposeResult,
  type Raft,
  type RaftConfig,
  type ReadResult,
  type Ready,
  type Role,
  type SaveAck,
  type Status,
  type TransferResult,
} from "./types.ts";

/**
 * One member. It starts as a follower with what it had saved; the only voter of its configuration
 * campaigns at once, having nobody to wait for.
 */
export function createRaft(config: RaftConfig): Raft {
  return createRaftWithRules(config, RULES);
}

/** For tests that break a rule; not part of the room's public face. */
export function createRaftWithRules(config: RaftConfig, rules: Rules): Raft {
  assert(config.id !== NO_MEMBER, "A member's id must not be 0");
  assert(config.heartbeatTicks >= 1, "A heartbeat takes at least one tick");
  assert(
    config.electionTicks > config.heartbeatTicks,
    "The election timeout must be longer than a heartbeat",
  );
  const state = createState(config, rules);
  becomeFollower(state, state.term, NO_MEMBER);
  if (state.tracker.selfIsOnlyVoter) campaign(state, "timeout");
  return new Member(state);
}

class Member implements Raft {
  readonly #r: RaftState;

  constructor(state: RaftState) {
    this.#r = state;
  }

  get id(): MemberId {
    return this.#r.id;
  }

  get role(): Role {
    return this.#r.role;
  }

  get term(): number {
    return this.#r.term;
  }

  get leader(): MemberId {
    return this.#r.leader;
  }

  get commit(): number {
    return this.#r.log.commit;
  }

  tick(): void {
    tick(this.#r);
  }

  step(message: Message): void {
    step(this.#r, message);
  }

  propose(data: Uint8Array): ProposeResult {
    return propose(this.#r, "normal", data);
  }

  proposeConfChange(change: ConfChange): ProposeResult {
    return propose(this.#r, "conf-change", encodeConfChange(change));
  }

  readIndex(ctx: number): ReadResult {
    const r = this.#r;
    if (r.lead !== undefined) return acceptRead(r, { from: r.id, ctx });
    if (r.leader === NO_MEMBER) return refusal("no-leader", "no leader is known");
    send(r, { kind: "read-index", from: r.id, to: r.leader, term: 0, ctx });
    return { kind: "accepted" };
  }

  transferLeader(to: MemberId): TransferResult {
    const r = this.#r;
    if (r.lead !== undefined) return transferTo(r, to);
    if (r.leader === NO_MEMBER) return refusal("no-leader", "no leader is known");
    send(r, { kind: "transfer-leader", from: r.id, to: r.leader, term: 0, transferee: to });
    return { kind: "accepted" };
  }

  campaign(): void {
    campaign(this.#r, "timeout");
  }

  reportUnreachable(id: MemberId): void {
    const r = this.#r;
    if (r.lead !== undefined) r.tracker.get(id)?.unreachable();
  }

  reportSnapshot(id: MemberId, delivered: boolean): void {
    const r = this.#r;
    if (r.lead !== undefined) r.tracker.get(id)?.snapshotEnded(delivered);
  }

  ready(): Ready | undefined {
    if (this.#r.lead !== undefined) flush(this.#r);
    return takeReady(this.#r);
  }

  saved(ack: SaveAck): void {
    const r = this.#r;
    assert(r.handed.savesRunning > 0, "A save was confirmed that was not handed out");
    r.handed.savesRunning--;
    if (!r.rules.saveCounts(ack, r.term)) return;
    ownVoteSaved(r);
    if (r.log.savedTo(ack) && r.lead !== undefined) ownLogSaved(r);
  }

  applyConfChange(entry: Entry): ConfState {
    const r = this.#r;
    assert(entry.index === r.confChangesDue.shift(), "Conf-change entry is not the next one due");
    const result = changeConf(r.tracker.conf, decodeConfChange(entry.data));
    // A change that was overtaken by another is passed over, alike on all members.
    if (result.ok) {
      r.tracker.setConf(result.confState, r.log.lastIndex + 1);
      if (r.lead !== undefined) confChanged(r);
      else if (r.role !== "follower" && !r.tracker.selfIsVoter) {
        becomeFollower(r, r.term, NO_MEMBER);
      }
    }
    return r.tracker.conf;
  }

  applied(index: number): void {
    const r = this.#r;
    const due = r.confChangesDue[0];
    assert(
      due === undefined || due > index,
      "Conf-change entry was applied but not put into force",
    );
    r.log.appliedTo(index);
    r.log.trim(r.tracker.peers.length > 0);
    if (r.lead !== undefined) maybeLeaveJoint(r);
  }

  advance(): void {
    const r = this.#r;
    const { handed } = r;
    if (handed.savesRunning > 0 && handed.lastSave !== undefined) {
      handed.savesRunning = 1;
      this.saved(handed.lastSave);
    }
    if (r.log.applying > r.log.applied) this.applied(r.log.applying);
  }

  status(): Status {
    return stateStatus(this.#r);
  }
}

function propose(r: RaftState, kind: Entry["kind"], data: Uint8Array): ProposeResult {
  if (r.lead !== undefined) return proposeOwn(r, kind, data);
  if (r.leader === NO_MEMBER) return refusal("no-leader", "no leader is known");
  const to = r.leader;
  send(r, { kind: "propose", from: r.id, to, term: 0, entryKind: kind, data });
  return { kind: "forwarded", to };
}
