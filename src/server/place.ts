import type { ServerConfig } from "../config/mod.ts";
import type { ClusterId, MemberInfo } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { KnownMember } from "./create-node.ts";
import type { End } from "./ends.ts";
import { joinCluster, refuseLostData } from "./introduction.ts";
import {
  type MemberFile,
  clusterIdOf,
  findMemberFile,
  firstMemberId,
  makeMemberFile,
} from "./member-file.ts";
import { type Network, openNetwork } from "./network.ts";

/** Which member of which cluster this is, and whom it knows before it has any state. */
export interface Place {
  readonly ids: MemberFile;
  /** The voters that the cluster began with; empty for a member that joined it. */
  readonly firstVoters: readonly KnownMember[];
  readonly seedMembers: readonly KnownMember[];
  /** Open already where the folder had no member yet. */
  readonly network: Network | undefined;
  /** Whether others were asked for the place. */
  readonly introduced: boolean;
}

export interface PlaceDeps {
  readonly config: ServerConfig;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Reads the folder's member file, or makes it: for a joiner from what others tell. */
export async function findPlace(deps: PlaceDeps, ends: End[]): Promise<Place> {
  const { config } = deps;
  const { name, dataDir, clusterToken, initialCluster } = config;
  const clusterId = clusterIdOf(clusterToken);
  const found = findMemberFile(dataDir, { name, clusterId });
  const first = initialCluster.map((one) => ({ id: firstMemberId(clusterToken, one), name: one }));
  if (config.initialClusterState === "new") {
    const memberId = firstMemberId(clusterToken, name);
    // First of all, so that a start that is refused, as of a name that runs already, leaves no folder.
    const needsNone = found !== undefined || config.natsUrls.length === 0;
    const network = needsNone ? undefined : await openPlaceNetwork(deps, clusterId, ends);
    const ids = found ?? makeMemberFile(dataDir, { name, memberId, clusterId });
    // A member that has joined is not one of the first, whatever it is told now.
    const firstVoters = ids.memberId === memberId ? first : [];
    return { ids, firstVoters, seedMembers: first, network, introduced: false };
  }
  if (found !== undefined) {
    const isFirst = found.memberId === firstMemberId(clusterToken, name);
    const firstVoters = isFirst && initialCluster.includes(name) ? first : [];
    return {
      ids: found,
      firstVoters,
      seedMembers: first,
      network: undefined,
      introduced: false,
    };
  }
  const network = await openPlaceNetwork(deps, clusterId, ends);
  const { member, members } = await joinCluster(introduction(deps, clusterId, network));
  const ids = makeMemberFile(dataDir, { name, memberId: member.id, clusterId });
  const seedMembers = members.map(knownMember);
  return { ids, firstVoters: [], seedMembers, network, introduced: true };
}

/**
 * Opens the way to the others. A member without data has something to ask them first: whether it had
 * any, or once more whom it joins, if it stopped before it had anything of the cluster.
 */
export async function meetOthers(
  deps: PlaceDeps,
  place: Place & { readonly isNew: boolean },
  ends: End[],
): Promise<Pick<Place, "firstVoters" | "seedMembers" | "network">> {
  const { ids, firstVoters, seedMembers } = place;
  const known = { firstVoters, seedMembers };
  if (deps.config.natsUrls.length === 0) return { ...known, network: undefined };
  const network = place.network ?? (await openPlaceNetwork(deps, ids.clusterId, ends));
  if (!place.isNew || place.introduced) return { ...known, network };
  const asks = introduction(deps, ids.clusterId, network);
  if (firstVoters.length > 0) {
    if (asks.others.length > 0) await refuseLostData(asks, ids.memberId);
    return { ...known, network };
  }
  const { member, members } = await joinCluster(asks);
  if (member.id !== ids.memberId) {
    throw new CofferError(
      "invalid-argument",
      `${deps.config.dataDir} was made for member ${ids.memberId.toString(16)}, which was removed; ` +
        `'${ids.name}' is ${member.id.toString(16)} now: start it on an empty --data-dir`,
    );
  }
  return { firstVoters, seedMembers: members.map(knownMember), network };
}

async function openPlaceNetwork(
  { config, log, signal }: PlaceDeps,
  clusterId: ClusterId,
  ends: End[],
): Promise<Network> {
  const network = await openNetwork(config, clusterId, { log, signal });
  if (network === undefined) {
    throw new CofferError("invalid-argument", "members talk over NATS: give --nats-urls");
  }
  ends.push(() => network.stop());
  return network;
}

function introduction(
  { config, log, signal }: PlaceDeps,
  clusterId: ClusterId,
  network: Network,
): Parameters<typeof joinCluster>[0] {
  const others = config.initialCluster.filter((name) => name !== config.name);
  return { name: config.name, clusterId, others, network, log, signal };
}

/** A member that has not started yet is known by the host of its peer URL. */
function knownMember({ id, name, peerUrls: [url = ""] }: MemberInfo): KnownMember {
  return { id, name: name === "" ? (/^https?:\/\/([^:/]+)/.exec(url)?.[1] ?? "") : name };
}
