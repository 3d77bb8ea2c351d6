import type { MemberId } from "../types/mod.ts";
import { NO_MEMBER, type ConfChange, type ConfChangeSingle, type ConfState } from "./types.ts";

/**
 * Changes of the configuration (Raft §6), as values: a change gives the next configuration or the
 * reason why it may not be.
 *
 *     simple ──simple change──> simple
 *     simple ──enter──> joint ──leave──> simple
 *
 * A simple change moves at most one voter, so that any two majorities of old and new meet. A joint
 * configuration decides by both majorities.
 */
export type ConfChangeResult =
  | { readonly ok: true; readonly confState: ConfState }
  | { readonly ok: false; readonly reason: string };

export const EMPTY_CONF: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** The change that leaves a joint configuration. */
export const LEAVE_JOINT: ConfChange = {
  transition: "auto",
  changes: [],
  context: new Uint8Array(0),
};

export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0;
}

export function isLeave(change: ConfChange): boolean {
  return change.transition === "auto" && change.changes.length === 0;
}

export function changeConf(conf: ConfState, change: ConfChange): ConfChangeResult {
  if (isLeave(change)) {
    return isJoint(conf)
      ? { ok: true, confState: leaveJoint(conf) }
      : refused("there is no joint configuration to leave");
  }
  if (isJoint(conf)) return refused("a joint configuration must be left first");
  if (conf.voters.length === 0) return refused("a configuration without voters cannot change");
  const joint = applySingles(
    { ...conf, votersOutgoing: conf.voters, autoLeave: change.transition !== "joint-explicit" },
    change.changes,
  );
  if (joint.voters.length === 0) return refused("the last voter cannot be removed");
  const isSimple = change.transition === "auto" && votersMoved(conf.voters, joint.voters) <= 1;
  return { ok: true, confState: isSimple ? leaveJoint(joint) : joint };
}

/** A joint configuration when left: demoted voters become the learners they were to be. */
function leaveJoint(conf: ConfState): ConfState {
  return {
    voters: conf.voters,
    learners: sorted([...conf.learners, ...conf.learnersNext]),
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
}

function applySingles(conf: ConfState, changes: readonly ConfChangeSingle[]): ConfState {
  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  const learnersNext = new Set(conf.learnersNext);
  const outgoing = new Set(conf.votersOutgoing);
  for (const { type, id } of changes) {
    if (id === NO_MEMBER) continue;
    voters.delete(id);
    learners.delete(id);
    learnersNext.delete(id);
    if (type === "add-voter") voters.add(id);
    // A member is never voter and learner at once: an outgoing voter waits for the end of the
    // joint.
    else if (type === "add-learner") (outgoing.has(id) ? learnersNext : learners).add(id);
  }
  return {
    ...conf,
    voters: sorted([...voters]),
    learners: sorted([...learners]),
    learnersNext: sorted([...learnersNext]),
  };
}

/** How many voters came or went. */
function votersMoved(before: readonly MemberId[], after: readonly MemberId[]): number {
  const old = new Set(before);
  const now = new Set(after);
  let moved = 0;
  for (const id of old) if (!now.has(id)) moved++;
  for (const id of now) if (!old.has(id)) moved++;
  return moved;
}

function sorted(ids: readonly MemberId[]): readonly MemberId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function refused(reason: string): ConfChangeResult {
  return { ok: false, reason };
}
