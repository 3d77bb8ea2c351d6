import type { ErrorCode } from "../errors.ts";
import type { MemberChange, MemberId, MemberInfo } from "../core/types/mod.ts";
import { hostOf, transportName } from "./directory.ts";

/**
 * Which changes of members are allowed (etcd server/etcdserver/server.go AddMember, RemoveMember,
 * PromoteMember; api/membership/cluster.go): with etcd's strict check, always.
 */

/** etcd's --max-learners. */
const LEARNERS_MAX = 1;
/** Of the leader's log, that a learner has to have before it may vote. */
const READY_RATIO = 0.9;

/** What the leader knows. */
export interface MemberView {
  readonly members: readonly MemberInfo[];
  isRemoved(id: MemberId): boolean;
  /** Heard of within the last election timeout. */
  isConnected(id: MemberId): boolean;
  /** The highest index that the member is known to have saved; the leader's own for itself. */
  match(id: MemberId): number;
  /** The end of the leader's log. */
  readonly lastIndex: number;
}

/** Why the change may not be made. */
export function refuseChange(view: MemberView, change: MemberChange): ErrorCode | undefined {
  switch (change.kind) {
    case "add":
      return refuseAdd(view, change);
    case "remove":
      return refuseRemove(view, change.id);
    case "promote":
      return refusePromote(view, change.id);
    case "update":
      if (memberOf(view, change.id) === undefined) return "member-not-found";
      return refuseUrls(view, change.peerUrls, change.id);
  }
}

function refuseAdd(
  view: MemberView,
  { id, peerUrls, isLearner }: Extract<MemberChange, { kind: "add" }>,
): ErrorCode | undefined {
  if (memberOf(view, id) !== undefined || view.isRemoved(id)) return "member-exists";
  const badUrls = refuseUrls(view, peerUrls, id);
  if (badUrls !== undefined) return badUrls;
  if (isLearner && view.members.filter((one) => one.isLearner).length >= LEARNERS_MAX) {
    return "too-many-learners";
  }
  const voters = votersOf(view);
  if (!isLearner) {
    const started = voters.filter(isStarted).length;
    // From one member to two: what a cluster that lost its majority is rebuilt by.
    const isSecond = voters.length === 1 && started === 1;
    if (!isSecond && started < quorumOf(voters.length + 1)) return "not-enough-started-members";
  }
  // One voter may be down while the rest is a quorum: it is what a replacement is added for.
  const down = voters.filter((one) => !view.isConnected(one.id)).length;
  const isHealthy = down <= 1 && voters.length - down >= quorumOf(voters.length);
  return isHealthy ? undefined : "unhealthy-cluster";
}

function refuseRemove(view: MemberView, id: MemberId): ErrorCode | undefined {
  const member = memberOf(view, id);
  if (member === undefined) return "member-not-found";
  if (member.isLearner) return undefined;
  const voters = votersOf(view);
  const left = voters.filter((one) => one.id !== id);
  if (left.filter(isStarted).length < quorumOf(left.length)) return "not-enough-started-members";
  // One that is down belongs to no quorum now.
  if (!view.isConnected(id)) return undefined;
  const active = left.filter((one) => view.isConnected(one.id)).length;
  return active < quorumOf(left.length) ? "unhealthy-cluster" : undefined;
}

function refusePromote(view: MemberView, id: MemberId): ErrorCode | undefined {
  const member = memberOf(view, id);
  if (member === undefined) return "member-not-found";
  if (!member.isLearner) return "member-not-learner";
  if (view.match(id) < view.lastIndex * READY_RATIO) return "learner-not-ready";
  const voters = votersOf(view);
  const started = voters.filter(isStarted).length + 1;
  return started < quorumOf(voters.length + 1) ? "not-enough-started-members" : undefined;
}

function refuseUrls(
  view: MemberView,
  urls: readonly string[],
  by: MemberId,
): ErrorCode | undefined {
  if (urls.length === 0) return "member-bad-urls";
  // The host is a name on the transport, so it can be one member's alone, whatever the port.
  const names = urls.map(hostOf);
  const isTaken = view.members.some(
    (one) =>
      one.id !== by &&
      (names.includes(transportName(one)) || one.peerUrls.some((url) => urls.includes(url))),
  );
  return isTaken ? "peer-url-exists" : undefined;
}

function memberOf(view: MemberView, id: MemberId): MemberInfo | undefined {
  return view.members.find((one) => one.id === id);
}

function votersOf(view: MemberView): readonly MemberInfo[] {
  return view.members.filter((one) => !one.isLearner);
}

/** A member has a name from when it first announced itself (etcd membership.Member.IsStarted). */
function isStarted({ name }: MemberInfo): boolean {
  return name !== "";
}

function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}
