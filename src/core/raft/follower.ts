import { send, sendAfterSave } from "./outbox.ts";
import type { LogEnd } from "./rules.ts";
import type { RaftState } from "./state.ts";
import type { AppendMessage, HeartbeatMessage, SnapshotMessage } from "./types.ts";

/**
 * What a follower, or a member that has just become one, does with its leader's messages. A learner
 * is a follower that does not campaign.
 */

/** Raft §5.3, with hints so that a leader finds where the logs agree in few round trips. */
export function handleAppend(r: RaftState, m: AppendMessage): void {
  const { log } = r;
  if (r.tracker.conf.voters.length === 0) {
    reject(r, m, { index: 0, term: 0 });
    return;
  }
  if (m.prevIndex < log.commit) {
    // An old message. What is committed agrees with every leader to come.
    accept(r, m, log.commit);
    return;
  }
  if (r.rules.prevAgrees(log.term(m.prevIndex), m.prevTerm)) {
    const last = log.merge(m.prevIndex, m.entries);
    log.commitTo(Math.min(m.commit, last));
    accept(r, m, last);
    return;
  }
  reject(r, m, log.lastWithTermAtMost(m.prevIndex, m.prevTerm));
}

export function handleHeartbeat(r: RaftState, m: HeartbeatMessage): void {
  r.log.commitTo(m.commit);
  send(r, { kind: "heartbeat-resp", from: r.id, to: m.from, term: r.term, round: m.round });
}

/** Raft §7. The data has arrived already; what is left is to put it in place. */
export function handleSnapshot(r: RaftState, m: SnapshotMessage): void {
  const { log } = r;
  const { index, term, confState } = m.snapshot;
  if (index <= log.commit) {
    accept(r, m, log.commit);
    return;
  }
  if (log.matches(index, term)) {
    // The log reaches there by itself: keep it, and what follows in it.
    log.commitTo(index);
    accept(r, m, log.commit);
    return;
  }
  const { voters, learners, votersOutgoing } = confState;
  const isMember = [voters, learners, votersOutgoing].some((ids) => ids.includes(r.id));
  // A snapshot of a configuration without this member is meant for somebody else.
  if (!isMember) return;
  log.restore(m.snapshot);
  r.tracker.setConf(confState, log.lastIndex + 1);
  r.confChangesDue.length = 0;
  accept(r, m, index);
}

function accept(r: RaftState, m: AppendMessage | SnapshotMessage, index: number): void {
  sendAfterSave(r, {
    kind: "append-resp",
    from: r.id,
    to: m.from,
    term: r.term,
    index,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
    needsSnapshot: false,
  });
}

function reject(r: RaftState, m: AppendMessage, hint: LogEnd): void {
  send(r, {
    kind: "append-resp",
    from: r.id,
    to: m.from,
    term: r.term,
    index: m.prevIndex,
    rejected: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
    needsSnapshot: r.tracker.conf.voters.length === 0,
  });
}
