import type { MemberId, MemberInfo, StateReader } from "../core/types/mod.ts";

/** A member by its two names: the log knows the id, the transport the name. */
export interface KnownMember {
  readonly id: MemberId;
  readonly name: string;
}

/**
 * Which member has which name: the replicated table; until it tells of a name, what the cluster was first
 * made of; and before either, while no leader is known by the table, whom others tell of that joined
 * after all that is applied here. Ids are never used again, names may be: a new member under the name of
 * a removed one takes it over.
 */
export class Directory {
  readonly #self: MemberId;
  /** What the cluster was first made of. */
  readonly #first: readonly KnownMember[];
  /** Whom others told of, the latest last. */
  readonly #told = new Map<MemberId, string>();
  readonly #state: Pick<StateReader, "members" | "isRemovedMember">;
  #byId = new Map<MemberId, string>();
  #byName = new Map<string, MemberId>();
  /**
   * By name: members that were removed while this one runs, or that it was told of. More than one, if
   * a member that took over a name was removed too.
   */
  readonly #removed = new Map<string, Set<MemberId>>();

  constructor(
    self: MemberId,
    first: readonly KnownMember[],
    state: Pick<StateReader, "members" | "isRemovedMember">,
  ) {
    this.#self = self;
    this.#first = first;
    this.#state = state;
    this.refresh();
  }

  /**
   * Another member's table, which may be newer than this one's. True as `refresh`. Whoever leads now
   * may have joined after all that is applied here, and is to be listened to all the same.
   */
  learn(members: readonly MemberInfo[]): boolean {
    for (const member of members) {
      this.#told.delete(member.id);
      this.#told.set(member.id, transportName(member));
    }
    return this.refresh();
  }

  /** Forgets what others told if `leader` is in the table here, for then that comes by the log. True as `refresh`. */
  forgetTold(leader: MemberId): boolean {
    if (this.#told.size === 0 || !this.#state.members().some(({ id }) => id === leader))
      return false;
    this.#told.clear();
    return this.refresh();
  }

  /** Reads the table anew. True if a name came, went or moved. */
  refresh(): boolean {
    const before = this.#byId;
    const byId = this.#named();
    for (const [id, name] of [...before, ...byId]) {
      if (!this.#state.isRemovedMember(id)) continue;
      byId.delete(id);
      if (id !== this.#self) this.#noteRemoved(name, id);
    }
    const byName = new Map<string, MemberId>();
    for (const [id, name] of byId) if (name !== "") byName.set(name, id);
    for (const name of byName.keys()) this.#removed.delete(name);
    this.#byId = byId;
    this.#byName = byName;
    return !sameNames(before, byId);
  }

  /** By id, those last to whom a name belongs that more than one has. */
  #named(): Map<MemberId, string> {
    const table = this.#state.members();
    const isKnown = new Set(table.map(({ id }) => id));
    const byId = new Map<MemberId, string>();
    for (const { id, name } of this.#first) if (!isKnown.has(id)) byId.set(id, name);
    for (const member of table) byId.set(member.id, transportName(member));
    const own = byId.get(this.#self);
    // Those told of that the table neither has nor has had joined after all that is applied here. So a
    // name that is theirs too has passed to them: who had it has been removed. That this one has been
    // must be told by another word.
    for (const [id, name] of this.#told) {
      if (isKnown.has(id) || (name === own && id !== this.#self)) continue;
      byId.delete(id);
      byId.set(id, name);
    }
    return byId;
  }

  nameOf(id: MemberId): string | undefined {
    const name = this.#byId.get(id);
    return name === "" ? undefined : name;
  }

  idOf(name: string): MemberId | undefined {
    return this.#byName.get(name);
  }

  /** The removed members that had the name, which nobody has now. */
  removedUnder(name: string): readonly MemberId[] {
    return [...(this.#removed.get(name) ?? [])];
  }

  /** Names to talk with: the other members, and the removed ones, who are told so. */
  others(): readonly string[] {
    const names = [...this.#byName].filter(([, id]) => id !== this.#self).map(([name]) => name);
    return [...names, ...this.#removed.keys()].sort();
  }

  #noteRemoved(name: string, id: MemberId): void {
    const ids = this.#removed.get(name) ?? new Set();
    this.#removed.set(name, ids.add(id));
  }
}

/**
 * The name of a member on the transport. One that has not announced itself yet is named by the host
 * of the peer URL that it was added with.
 */
export function transportName({ name, peerUrls }: MemberInfo): string {
  if (name !== "") return name;
  return hostOf(peerUrls[0] ?? "");
}

/** "" for what is no peer URL. */
export function hostOf(url: string): string {
  return /^[a-z]+:\/\/([a-z0-9-]+)(?::\d+)?\/?$/.exec(url)?.[1] ?? "";
}

function sameNames(a: ReadonlyMap<MemberId, string>, b: ReadonlyMap<MemberId, string>): boolean {
  return a.size === b.size && [...a].every(([id, name]) => b.get(id) === name);
}
