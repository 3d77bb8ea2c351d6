import { assert } from "../../stdx/mod.ts";
import { NO_ENTRIES } from "./log.ts";
import { send } from "./outbox.ts";
import type { Progress } from "./progress.ts";
import type { LeaderState, RaftState } from "./state.ts";
import type { Entry } from "./types.ts";

/**
 * How a leader brings its log to the others. Nothing is sent while messages and proposals come in:
 * `flush` runs once per Ready, so all that came in between shares one append per peer, and every
 * append carries the newest commit index.
 */

export function leading(r: RaftState): LeaderState {
  assert(r.lead !== undefined, "Only a leader replicates");
  return r.lead;
}

/** Appends one entry of this term. */
export function appendOwn(r: RaftState, kind: Entry["kind"], data: Uint8Array): Entry {
  const lead = leading(r);
  const entry: Entry = { index: r.log.lastIndex + 1, term: r.term, kind, data };
  r.log.push(entry);
  lead.uncommittedBytes += data.length;
  lead.dirty = true;
  return entry;
}

/** Commits what a quorum has saved. */
export function maybeCommit(r: RaftState): void {
  const lead = leading(r);
  const index = r.tracker.committedIndex();
  if (index <= r.log.commit) return;
  if (!r.rules.mayCommit(r.log.term(index), r.term)) return;
  r.log.commitTo(index);
  lead.committedInTerm = true;
  lead.dirty = true;
}

/** This member has saved its log up to `log.saved`: it counts as any other. */
export function ownLogSaved(r: RaftState): void {
  const own = r.tracker.own;
  if (own === undefined || own.match >= r.log.saved) return;
  own.match = r.log.saved;
  if (own.next <= own.match) own.next = own.match + 1;
  maybeCommit(r);
}

export function broadcastHeartbeat(r: RaftState): void {
  const { reads } = leading(r);
  for (const peer of r.tracker.peers) {
    const commit = r.rules.commitFor(peer.match, r.log.commit);
    peer.sentHeartbeat(commit);
    send(r, {
      kind: "heartbeat",
      from: r.id,
      to: peer.id,
      term: r.term,
      commit,
      round: reads.newest,
    });
  }
}

/** Sends what each peer may get and has not got, in slices. */
export function flushAppends(r: RaftState): void {
  const lead = leading(r);
  lead.dirty = false;
  let bytesLeft = FLUSH_BYTES_MAX;
  for (const peer of r.tracker.peers) {
    while (peer.wantsAppend(r.log.lastIndex, r.log.commit)) {
      if (bytesLeft <= 0) {
        lead.dirty = true;
        return;
      }
      const bytes = sendAppend(r, peer);
      if (bytes === undefined) break;
      bytesLeft -= bytes;
    }
  }
}

/** The bytes sent; undefined if the peer gets a snapshot instead, or nothing for now. */
function sendAppend(r: RaftState, peer: Progress): number | undefined {
  const { log } = r;
  const prevIndex = peer.next - 1;
  const prevTerm = peer.needsSnapshot ? undefined : log.term(prevIndex);
  const entries =
    peer.mayCarryEntries && prevTerm !== undefined
      ? log.entries(peer.next, log.lastIndex + 1, r.limits.messageBytesMax)
      : NO_ENTRIES;
  if (prevTerm === undefined || entries === undefined) {
    sendSnapshot(r, peer);
    return undefined;
  }
  const bytes = bytesOfEntries(entries);
  const { commit } = log;
  send(r, {
    kind: "append",
    from: r.id,
    to: peer.id,
    term: r.term,
    prevIndex,
    prevTerm,
    entries,
    commit,
  });
  peer.sentAppend({ last: prevIndex + entries.length, bytes, commit });
  return bytes;
}

function sendSnapshot(r: RaftState, peer: Progress): void {
  // Not to a peer that is away: it would be given up half-way. Its next answer brings us here
  // again.
  if (!peer.recentActive) return;
  const index = r.log.applied;
  const term = r.log.term(index);
  assert(term !== undefined, "The term of the last applied entry is not known");
  const snapshot = { index, term, confState: r.tracker.conf };
  peer.becomeSnapshot(index);
  send(r, { kind: "snapshot", from: r.id, to: peer.id, term: r.term, snapshot });
}

export function bytesOfEntries(entries: readonly Entry[]): number {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) bytes += (entries[i] as Entry).data.length;
  return bytes;
}

/** Bytes sent in one Ready: bounds the time that reading old entries takes in one turn. */
const FLUSH_BYTES_MAX = 4 * 1024 * 1024;
