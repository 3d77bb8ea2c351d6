import type { RaftState } from "./state.ts";
import { NO_ENTRIES } from "./log.ts";
import { bytesOfEntries } from "./replication.ts";
import type { Entry, HardState, Leadership, Message, ReadState, Ready, SaveAck } from "./types.ts";

/** Gathers what is to be done, each thing once. */
export function takeReady(r: RaftState): Ready | undefined {
  if (!hasWork(r)) return undefined;
  const { log, handed } = r;
  const leadership = takeLeadership(r);
  const snapshot = log.takeUnhandedSnapshot();
  const entries = log.takeUnhanded();
  const mustSync = entries.length > 0 || snapshot !== undefined || hardStateMoved(r);
  // The commit index goes with every save of entries, and must: a member that finds an entry with a
  // change of members in its log has to know after a crash that the change before it is committed,
  // or it could win an election by a configuration two steps old.
  const hardState = mustSync ? takeHardState(r) : undefined;
  let messages: readonly Message[] = r.messages;
  let messagesAfterSave: readonly Message[] = r.messagesAfterSave;
  if (messages.length > 0) r.messages = [];
  else messages = NO_MESSAGES;
  if (messagesAfterSave.length > 0) r.messagesAfterSave = [];
  else messagesAfterSave = NO_MESSAGES;
  let save: SaveAck | undefined;
  if (mustSync || (messagesAfterSave.length > 0 && handed.savesRunning > 0)) {
    save = { term: r.term, index: log.lastIndex, logTerm: log.lastTerm };
    handed.lastSave = save;
    handed.savesRunning++;
  } else if (messagesAfterSave.length > 0) {
    // All they depend on is durable already.
    messages = messages.length > 0 ? [...messages, ...messagesAfterSave] : messagesAfterSave;
    messagesAfterSave = NO_MESSAGES;
  }
  return {
    leadership,
    hardState,
    snapshot,
    entries,
    save,
    mustSync,
    messages,
    messagesAfterSave,
    readStates: takeReadStates(r),
    committedEntries: takeCommitted(r),
  };
}

function hasWork(r: RaftState): boolean {
  const { log } = r;
  return (
    log.hasUnhanded ||
    log.hasApplicable ||
    r.messages.length > 0 ||
    r.messagesAfterSave.length > 0 ||
    r.readStates.length > 0 ||
    hardStateMoved(r) ||
    leadershipMoved(r)
  );
}

function hardStateMoved(r: RaftState): boolean {
  return r.term !== r.handed.term || r.vote !== r.handed.vote;
}

function takeHardState(r: RaftState): HardState | undefined {
  const { handed } = r;
  const { commit } = r.log;
  if (!hardStateMoved(r) && commit === handed.commit) return undefined;
  handed.term = r.term;
  handed.vote = r.vote;
  handed.commit = commit;
  return { term: r.term, vote: r.vote, commit };
}

function leadershipMoved(r: RaftState): boolean {
  const { handed } = r;
  return handed.role !== r.role || handed.leader !== r.leader || handed.roleTerm !== r.term;
}

function takeLeadership(r: RaftState): Leadership | undefined {
  if (!leadershipMoved(r)) return undefined;
  const { handed } = r;
  handed.role = r.role;
  handed.leader = r.leader;
  handed.roleTerm = r.term;
  return { role: r.role, term: r.term, leader: r.leader };
}

function takeReadStates(r: RaftState): readonly ReadState[] {
  if (r.readStates.length === 0) return NO_READS;
  const states = r.readStates;
  r.readStates = [];
  return states;
}

function takeCommitted(r: RaftState): readonly Entry[] {
  if (!r.log.hasApplicable) return NO_ENTRIES;
  const entries = r.log.takeApplicable(r.limits.applyBytesMax);
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as Entry;
    if (entry.kind === "conf-change") r.confChangesDue.push(entry.index);
  }
  const { lead } = r;
  if (lead !== undefined && lead.uncommittedBytes > 0) {
    // Entries of earlier terms were never counted in: hence the floor.
    lead.uncommittedBytes = Math.max(0, lead.uncommittedBytes - bytesOfEntries(entries));
  }
  return entries;
}

const NO_MESSAGES: readonly Message[] = Object.freeze([]);
const NO_READS: readonly ReadState[] = Object.freeze([]);
