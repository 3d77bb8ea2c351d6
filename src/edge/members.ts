import { CofferError } from "../errors.ts";
import { type MemberId, type MemberInfo, revision } from "../core/types/mod.ts";
import type { Node } from "../node/mod.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type Outcome,
  type RequestContext,
  authoriseAny,
  authoriseOperator,
  linearize,
  runRequest,
} from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";

/**
 * Who belongs to the cluster, and who leads it. Changes are for the cluster's operators; etcd's replies
 * of the Cluster service carry revision 0 (api/v3rpc/member.go).
 */

export interface MembersBody {
  readonly members: readonly MemberInfo[];
}

export interface MemberAddRequest {
  readonly peerUrls: readonly string[];
  readonly isLearner: boolean;
}

type MemberChange = Parameters<Node["changeMembers"]>[0];

export function memberList(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly linearizable: boolean },
): Promise<Reply<readonly MemberInfo[]>> {
  return runRequest(deps, caller, { action: "member-list", target: NO_TARGET }, async (context) => {
    if (request.linearizable) await linearize(context);
    authoriseAny(context);
    return { body: deps.node.state.members(), revision: revision(0) };
  });
}

/** The new member has no name of its own before it has started; its URL says which it must be. */
export function memberAdd(
  deps: EdgeDeps,
  caller: Caller,
  request: MemberAddRequest,
): Promise<Reply<MembersBody & { readonly member: MemberInfo }>> {
  const { isLearner } = request;
  const what = { action: "member-add", target: urlTarget(request.peerUrls) };
  return runRequest(deps, caller, what, async (context) => {
    await enterMembership(context);
    const peerUrls = checkPeerUrls(request.peerUrls);
    // Nobody could reach it, and a new voter that is not there would stop the cluster.
    if (deps.links === undefined) {
      throw new CofferError("unhealthy-cluster", undefined, { cause: "there is no --nats-urls" });
    }
    const id = deps.random.memberId();
    const { body } = await change(context, { kind: "add", id, peerUrls, isLearner });
    const member = body.members.find((one) => one.id === id);
    if (member === undefined) throw new CofferError("conflict", "the member was removed meanwhile");
    return { body: { ...body, member }, revision: revision(0) };
  });
}

export function memberRemove(
  deps: EdgeDeps,
  caller: Caller,
  id: MemberId,
): Promise<Reply<MembersBody>> {
  const what = { action: "member-remove", target: memberTarget(id) };
  return runRequest(deps, caller, what, async (context) => {
    await enterMembership(context);
    return await change(context, { kind: "remove", id });
  });
}

export function memberUpdate(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly id: MemberId; readonly peerUrls: readonly string[] },
): Promise<Reply<MembersBody>> {
  const what = { action: "member-update", target: memberTarget(request.id) };
  return runRequest(deps, caller, what, async (context) => {
    await enterMembership(context);
    const peerUrls = checkPeerUrls(request.peerUrls);
    refuseOtherHost(deps.node.state.members(), request.id, peerUrls);
    return await change(context, { kind: "update", id: request.id, peerUrls });
  });
}

export function memberPromote(
  deps: EdgeDeps,
  caller: Caller,
  id: MemberId,
): Promise<Reply<MembersBody>> {
  const what = { action: "member-promote", target: memberTarget(id) };
  return runRequest(deps, caller, what, async (context) => {
    await enterMembership(context);
    return await change(context, { kind: "promote", id });
  });
}

/** Only the leader takes it, as etcd's; `etcdctl move-leader` finds the leader among its endpoints. */
export function moveLeader(
  deps: EdgeDeps,
  caller: Caller,
  target: MemberId,
): Promise<Reply<undefined>> {
  const what = { action: "move-leader", target: memberTarget(target) };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseOperator(context, "member/move-leader");
    await deps.node.moveLeader(target);
    return { body: undefined, revision: revision(0) };
  });
}

/** The right is judged by the newest policy, as a change of members carries no policy revision. */
async function enterMembership(context: RequestContext): Promise<void> {
  await linearize(context);
  authoriseOperator(context, "member/change");
}

/** Makes the change, and answers the members as they are after it. */
async function change(
  context: RequestContext,
  wanted: MemberChange,
): Promise<Outcome<MembersBody>> {
  const { node } = context.deps;
  await node.changeMembers(wanted, context.actor); // Resolves when it is applied here.
  const members = node.state.members().filter((one) => !isRemoved(wanted, one));
  return { body: { members }, revision: revision(0) };
}

function isRemoved(wanted: MemberChange, { id }: MemberInfo): boolean {
  return wanted.kind === "remove" && wanted.id === id;
}

/** The host is the member's name on NATS; the rest is what etcd's tools want to see. */
const PEER_URL = /^https?:\/\/([a-z0-9-]{1,63}):([0-9]{1,5})$/;
const PEER_URLS_MAX = 8;

function checkPeerUrls(urls: readonly string[]): readonly string[] {
  const names = new Set<string>();
  for (const url of urls) {
    const [, name, port] = PEER_URL.exec(url) ?? [];
    if (name === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) throw badUrls(url);
    names.add(name);
  }
  if (names.size !== 1 || urls.length > PEER_URLS_MAX) throw badUrls(urls.join(" "));
  return [...new Set(urls)].sort();
}

/** A running member keeps its name, so another host would only tell joiners of one who is not there. */
function refuseOtherHost(
  members: readonly MemberInfo[],
  id: MemberId,
  [url = ""]: readonly string[],
): void {
  const name = members.find((member) => member.id === id)?.name ?? "";
  if (name === "" || PEER_URL.exec(url)?.[1] === name) return;
  throw new CofferError(
    "member-bad-urls",
    `the host of a peer URL names the member on NATS, and this one runs as '${name}': keep ` +
      `https://${name}:PORT, or remove the member and add one under the other name`,
  );
}

function badUrls(what: string): CofferError {
  return new CofferError("member-bad-urls", undefined, {
    cause: `${what}: wanted https://NAME:2380, where NAME is the member's`,
  });
}

function urlTarget(urls: readonly string[]): { readonly key: string; readonly rangeEnd: string } {
  return { key: urls.slice(0, PEER_URLS_MAX).join(" "), rangeEnd: "" };
}

/** A member in the audit: its id as etcdctl prints it. */
function memberTarget(id: MemberId): { readonly key: string; readonly rangeEnd: string } {
  return { key: `member:${id.toString(16)}`, rangeEnd: "" };
}
