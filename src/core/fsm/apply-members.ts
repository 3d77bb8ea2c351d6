import {
  type ApplyResult,
  CLUSTER_SCOPE,
  type MemberCommand,
  type MemberInfo,
} from "../types/mod.ts";
import { assertNever } from "../../stdx/mod.ts";
import type { FsmBackend } from "./backend.ts";
import type { Scope } from "./scopes.ts";
import { refused } from "./refused.ts";

type MemberTableCommand = MemberCommand | { readonly kind: "member"; readonly member: MemberInfo };

/**
 * Changes the table of members. The configuration of the log has changed by the same entry, whatever
 * is answered here: the leader has checked the command against the table before it proposed it, and
 * changes of the configuration come one after the other.
 */
export function changeMembers(
  backend: FsmBackend,
  scope: Scope,
  command: MemberTableCommand,
): ApplyResult {
  if (scope.id !== CLUSTER_SCOPE) {
    return refused("invalid-argument", "members belong to the cluster's scope");
  }
  const done = { kind: "done", policyRevision: scope.policyRevision } as const;
  switch (command.kind) {
    case "member":
      return announce(backend, command.member) ?? done;
    case "member-add":
      return add(backend, command.member) ?? done;
    case "member-remove":
      backend.removeMember(command.id);
      return done;
    case "member-promote": {
      const known = memberOf(backend, command.id);
      if (known === undefined) return refused("member-not-found");
      if (!known.isLearner) return refused("member-not-learner");
      backend.putMember({ ...known, isLearner: false });
      return done;
    }
    case "member-update": {
      const known = memberOf(backend, command.id);
      if (known === undefined) return refused("member-not-found");
      if (isTaken(backend, command.peerUrls, command.id)) return refused("peer-url-exists");
      backend.putMember({ ...known, peerUrls: command.peerUrls });
      return done;
    }
    default:
      return assertNever(command);
  }
}

function announce(backend: FsmBackend, member: MemberInfo): ApplyResult | undefined {
  if (backend.isRemovedMember(member.id)) return refused("member-not-found");
  const known = memberOf(backend, member.id);
  if (known === undefined) {
    backend.putMember(member);
    return undefined;
  }
  // Without a name it is the row of a first member, which that member has been quicker to fill.
  if (member.name === "") return undefined;
  const { name, clientUrls } = member;
  const peerUrls = known.peerUrls.length === 0 ? member.peerUrls : known.peerUrls;
  backend.putMember({ ...known, name, peerUrls, clientUrls });
  return undefined;
}

function add(backend: FsmBackend, member: MemberInfo): ApplyResult | undefined {
  const isKnown = memberOf(backend, member.id) !== undefined;
  if (isKnown || backend.isRemovedMember(member.id)) return refused("member-exists");
  if (isTaken(backend, member.peerUrls, member.id)) return refused("peer-url-exists");
  backend.putMember(member);
  return undefined;
}

function memberOf(backend: FsmBackend, id: MemberInfo["id"]): MemberInfo | undefined {
  return backend.members().find((member) => member.id === id);
}

function isTaken(backend: FsmBackend, urls: readonly string[], by: MemberInfo["id"]): boolean {
  return backend
    .members()
    .some((member) => member.id !== by && member.peerUrls.some((url) => urls.includes(url)));
}
