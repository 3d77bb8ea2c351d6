import type { ClusterId, MemberId, MemberInfo } from "../core/types/mod.ts";
import type { ConfState, Raft } from "../core/raft/mod.ts";
import type { ForwardReply } from "../wire/mod.ts";
import { type Directory, transportName } from "./directory.ts";
import type { LogStore } from "./ports.ts";

/** Names that wait for a confirmation at once: more than a cluster has members. */
const ASKING_MAX = 16;
/** Bytes of entries read at once when looking for changes of members. */
const SCAN_BYTES = 256 * 1024;

export interface IntroductionsDeps {
  readonly self: MemberId;
  readonly clusterId: ClusterId;
  readonly raft: Raft;
  readonly log: LogStore;
  readonly directory: Directory;
  members(): readonly MemberInfo[];
  confState(): ConfState;
  appliedIndex(): number;
  readIndex(): Promise<void> | undefined;
}

/** Tells others who a name belongs to. */
export class Introductions {
  readonly #deps: IntroductionsDeps;
  readonly #asking = new Set<string>();

  constructor(deps: IntroductionsDeps) {
    this.#deps = deps;
  }

  /** As far as this member has applied, which may be long ago. */
  whoIs(name: string): Extract<ForwardReply, { kind: "member" }> {
    const { clusterId, directory } = this.#deps;
    const members = this.#deps.members();
    const id = directory.idOf(name);
    const member = members.find((one) =>
      id === undefined ? transportName(one) === name : one.id === id,
    );
    const started = member !== undefined && member.name !== "";
    return { kind: "member", member, clusterId, started, members };
  }

  /**
   * For one that has no data and takes this id: it must not be one that had data before, so the answer
   * has to be of now. A member that lags, or was removed itself, would name the one that had the name
   * earlier: under its id the new one would vote a second time. Calls back once, or never.
   */
  introduce(name: string, answer: (reply: ForwardReply) => void): void {
    if (this.#needs(name)) {
      answer(this.whoIs(name));
      return;
    }
    if (this.#asking.has(name) || this.#asking.size >= ASKING_MAX) return; // It asks again.
    this.#asking.add(name);
    const done = this.#deps.readIndex() ?? Promise.resolve();
    done
      .then(
        () => answer(this.whoIs(name)),
        () => undefined, // Nothing is known for certain; it asks again, or another.
      )
      .finally(() => this.#asking.delete(name));
  }

  /**
   * Whether there is no majority without `name`: where it is the second of two voters. Then nothing can
   * be confirmed before it runs, and nothing can have changed without this member's log. A change of
   * members is begun only when the one before it is committed, so of those that the log holds and that
   * are not applied all but the last are: with two of them this member lags, and the first may be the
   * removal of the one it knows.
   */
  #needs(name: string): boolean {
    const { self, directory, confState } = this.#deps;
    const { voters, votersOutgoing } = confState();
    const id = directory.idOf(name);
    if (id === undefined || voters.length !== 2 || votersOutgoing.length > 0) return false;
    return voters.includes(self) && voters.includes(id) && this.#changesAhead() <= 1;
  }

  /** Changes of members in the log that are not applied. */
  #changesAhead(): number {
    const { log } = this.#deps;
    const end = log.lastIndex + 1;
    let changes = 0;
    for (let at = this.#deps.appliedIndex() + 1; at < end;) {
      const entries = log.entries(at, end, SCAN_BYTES);
      changes += entries.filter(({ kind }) => kind === "conf-change").length;
      at += entries.length;
    }
    return changes;
  }
}
