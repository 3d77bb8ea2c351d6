import { NO_MEMBER, type Status } from "./types.ts";
import type { RaftState } from "./state.ts";

/** What people and metrics want to know; made on demand. */
export function stateStatus(r: RaftState): Status {
  const { log, tracker, lead } = r;
  return {
    id: r.id,
    role: r.role,
    term: r.term,
    vote: r.vote,
    leader: r.leader,
    isLearner: tracker.conf.learners.includes(r.id),
    commit: log.commit,
    applied: log.applied,
    saved: log.saved,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    confState: tracker.conf,
    transferee: lead?.transferee ?? NO_MEMBER,
    peers: lead === undefined ? [] : tracker.peers.map((peer) => peer.status()),
    uncommittedBytes: lead?.uncommittedBytes ?? 0,
    pendingReads: lead?.reads.count ?? 0,
  };
}
