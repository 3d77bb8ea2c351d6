import { assertNever } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";
import { changeConf, isJoint, LEAVE_JOINT } from "./conf-change.ts";
import { decodeConfChange, encodeConfChange } from "./conf-change-codec.ts";
import { send } from "./outbox.ts";
import type { PendingRead } from "./read-rounds.ts";
import {
  appendOwn,
  broadcastHeartbeat,
  flushAppends,
  leading,
  maybeCommit,
} from "./replication.ts";
import { becomeFollower, becomeLeader } from "./roles.ts";
import type { RaftState } from "./state.ts";
import {
  NO_MEMBER,
  type AppendRespMessage,
  type Entry,
  type HeartbeatRespMessage,
  type Message,
  type ProposeResult,
  type ReadResult,
  type Refusal,
  type TransferResult,
} from "./types.ts";

/** What a leader does. */

const EMPTY = new Uint8Array(0);

/** The election is won: the empty entry lets older ones be committed (Raft §5.4.2, §8). */
export function takeLead(r: RaftState): void {
  becomeLeader(r);
  appendOwn(r, "normal", EMPTY);
}

export function tickLeader(r: RaftState): void {
  const lead = leading(r);
  lead.heartbeatElapsed++;
  r.electionElapsed++;
  if (r.electionElapsed >= r.electionTicks) {
    r.electionElapsed = 0;
    if (r.checkQuorum && !r.tracker.takeQuorumActive()) {
      // Thesis §6.2: whoever cannot reach a quorum must not keep clients waiting.
      becomeFollower(r, r.term, NO_MEMBER);
      return;
    }
    // The transferee did not take over in time: serve again (thesis §3.10).
    lead.transferee = NO_MEMBER;
  }
  if (lead.heartbeatElapsed >= r.heartbeatTicks) {
    lead.heartbeatElapsed = 0;
    broadcastHeartbeat(r);
  }
}

export function stepLeader(r: RaftState, m: Message): void {
  switch (m.kind) {
    case "append-resp":
      handleAppendResp(r, m);
      return;
    case "heartbeat-resp":
      handleHeartbeatResp(r, m);
      return;
    case "propose":
      proposeOwn(r, m.entryKind, m.data);
      return;
    case "read-index":
      acceptReadOf(r, m.from, m.ctx);
      return;
    case "transfer-leader":
      transferTo(r, m.transferee);
      return;
    case "vote-resp":
    case "pre-vote-resp":
    case "timeout-now":
    case "read-index-resp":
    case "read-index-refused":
      // Answers to an election that is over, or to an earlier life as follower.
      return;
    case "append":
    case "heartbeat":
    case "snapshot":
    case "vote":
    case "pre-vote":
      // Taken by the common rules before any role is asked.
      return;
    default:
      assertNever(m);
  }
}

/** Sends what is due; called once per Ready. */
export function flush(r: RaftState): void {
  const lead = leading(r);
  if (!lead.dirty) return;
  if (lead.reads.isDue && r.rules.mayRead(lead.committedInTerm)) {
    const round = lead.reads.begin(r.log.commit);
    if (r.tracker.own !== undefined) r.tracker.own.round = round;
    broadcastHeartbeat(r);
    finishReads(r);
  }
  flushAppends(r);
}

export function proposeOwn(r: RaftState, kind: Entry["kind"], data: Uint8Array): ProposeResult {
  const lead = leading(r);
  if (r.tracker.own === undefined) return refusal("not-leader", "this member has been removed");
  if (lead.transferee !== NO_MEMBER) {
    return refusal("leader-changed", "leadership is being transferred");
  }
  const bytes = lead.uncommittedBytes + data.length;
  if (bytes > r.limits.uncommittedBytesMax && lead.uncommittedBytes > 0 && data.length > 0) {
    return refusal("too-many-requests", "too many bytes wait to be committed");
  }
  if (kind === "conf-change") {
    const refused = refuseConfChange(r, data);
    if (refused !== undefined) return refused;
  }
  const { index, term } = appendOwn(r, kind, data);
  if (kind === "conf-change") lead.pendingConfIndex = index;
  return { kind: "appended", index, term };
}

export function acceptRead(r: RaftState, read: PendingRead): ReadResult {
  const lead = leading(r);
  if (lead.reads.count >= r.limits.pendingReadsMax) {
    return refusal("too-many-requests", "too many reads wait for a quorum");
  }
  lead.reads.add(read);
  lead.dirty = true;
  return { kind: "accepted" };
}

/** A follower's read: one that is refused is told so, or its client would wait until its time is over. */
function acceptReadOf(r: RaftState, from: MemberId, ctx: number): void {
  if (acceptRead(r, { from, ctx }).kind === "accepted") return;
  send(r, { kind: "read-index-refused", from: r.id, to: from, term: r.term, ctx });
}

/** Thesis §3.10: bring the target up to date, then tell it to campaign at once. */
export function transferTo(r: RaftState, to: MemberId): TransferResult {
  const lead = leading(r);
  const target = r.tracker.get(to);
  if (target === undefined || target.isLearner || to === r.id) {
    return refusal("bad-leader-transferee", "the target is not another voting member");
  }
  if (lead.transferee === to) return { kind: "accepted" };
  lead.transferee = to;
  // The transfer has one election timeout from now.
  r.electionElapsed = 0;
  lead.dirty = true;
  if (target.match === r.log.lastIndex) sendTimeoutNow(r, to);
  return { kind: "accepted" };
}

/** What a new configuration means for the leader that put it into force. */
export function confChanged(r: RaftState): void {
  const lead = leading(r);
  if (!r.tracker.selfIsVoter) {
    // Raft §6: a leader that is not in the new configuration steps down once it is committed. The
    // others learn of the commit from the appends that went out before this entry was applied.
    becomeFollower(r, r.term, NO_MEMBER);
    return;
  }
  if (lead.transferee !== NO_MEMBER && !r.tracker.isVoter(lead.transferee)) {
    lead.transferee = NO_MEMBER;
  }
  lead.dirty = true;
  // Both quorums may be smaller now.
  maybeCommit(r);
  finishReads(r);
}

/** An implicit joint configuration is left as soon as it is in force (Raft §6). */
export function maybeLeaveJoint(r: RaftState): void {
  const lead = leading(r);
  const { conf } = r.tracker;
  if (!conf.autoLeave || !isJoint(conf) || lead.pendingConfIndex > r.log.applied) return;
  lead.pendingConfIndex = appendOwn(r, "conf-change", encodeConfChange(LEAVE_JOINT)).index;
}

export function refusal(code: Refusal["code"], reason: string): Refusal {
  return { kind: "refused", code, reason };
}

function refuseConfChange(r: RaftState, data: Uint8Array): Refusal | undefined {
  if (!r.rules.mayChangeConf(leading(r).pendingConfIndex, r.log.applied)) {
    return refusal("conflict", "a change of members is not finished yet");
  }
  const result = changeConf(r.tracker.conf, decodeConfChange(data));
  return result.ok ? undefined : refusal("conflict", result.reason);
}

function handleAppendResp(r: RaftState, m: AppendRespMessage): void {
  const lead = leading(r);
  const peer = r.tracker.get(m.from);
  if (peer === undefined || m.index > r.log.lastIndex) return;
  peer.recentActive = true;
  if (m.rejected) {
    const hint =
      m.hintTerm > 0 ? r.log.lastWithTermAtMost(m.hintIndex, m.hintTerm).index : m.hintIndex;
    if (peer.rejected(m.index, hint)) lead.dirty = true;
    if (m.needsSnapshot && peer.match === 0) peer.needsSnapshot = true;
    return;
  }
  lead.dirty = true;
  if (!peer.accepted(m.index, r.log.firstIndex)) return;
  maybeCommit(r);
  if (lead.transferee === m.from && peer.match === r.log.lastIndex) sendTimeoutNow(r, m.from);
}

function handleHeartbeatResp(r: RaftState, m: HeartbeatRespMessage): void {
  const peer = r.tracker.get(m.from);
  if (peer === undefined) return;
  peer.heartbeatAnswered(r.log.lastIndex);
  leading(r).dirty = true;
  if (m.round <= peer.round) return;
  peer.round = m.round;
  finishReads(r);
}

/** Answers the reads whose round a quorum has acknowledged. */
function finishReads(r: RaftState): void {
  const lead = leading(r);
  const quorumRound = r.tracker.acknowledgedRound();
  for (;;) {
    const done = lead.reads.finish((round) => r.rules.roundAcknowledged(round, quorumRound));
    if (done === undefined) return;
    // A place for the next round is free.
    lead.dirty = true;
    const { index } = done;
    for (const { from, ctx } of done.reads) {
      if (from === r.id) r.readStates.push({ ctx, index });
      else send(r, { kind: "read-index-resp", from: r.id, to: from, term: r.term, ctx, index });
    }
  }
}

function sendTimeoutNow(r: RaftState, to: MemberId): void {
  send(r, { kind: "timeout-now", from: r.id, to, term: r.term });
}
