import { NO_MEMBER, type Raft } from "../core/raft/mod.ts";
import type { MemberId, MemberInfo, MemberReport } from "../core/types/mod.ts";
import type { Clock } from "../stdx/mod.ts";
import type { Directory } from "./directory.ts";
import type { LeaderWatch } from "./leadership.ts";
import type { FleetMember } from "./node-port.ts";
import type { NodeOptions } from "./options.ts";
import type { Requests } from "./requests.ts";

export interface FleetDeps {
  readonly self: MemberId;
  readonly name: string;
  readonly raft: Raft;
  readonly clock: Clock;
  readonly directory: Directory;
  readonly requests: Requests;
  readonly leadership: Pick<LeaderWatch, "isConnected">;
  readonly electionMs: number;
  readonly report: NodeOptions["report"];
  members(): readonly MemberInfo[];
  appliedIndex(): number;
  /** Names came or went. */
  onDirectoryChanged(): void;
}

/** What the members tell one another of themselves, and of who there is. */
export class Fleet {
  readonly #deps: FleetDeps;
  /** When a leader was last known, or the members were last asked who there is. */
  #ledAt: number;
  #asking: Promise<readonly FleetMember[]> | undefined;

  constructor(deps: FleetDeps) {
    this.#deps = deps;
    this.#ledAt = deps.clock.now();
  }

  /** This member's own words. */
  report(): MemberReport {
    const { self, name, raft, report, appliedIndex } = this.#deps;
    const { role, term, leader, lastIndex, commit, isLearner } = raft.status();
    return {
      member: self,
      name,
      role,
      term,
      leader,
      raftIndex: lastIndex,
      commitIndex: commit,
      appliedIndex: appliedIndex(),
      isLearner,
      ...report(),
    };
  }

  /**
   * As `Node.fleetStatus`. Whoever asks meanwhile shares the answer: any client may ask, and each
   * round is a message to every member.
   */
  ask(): Promise<readonly FleetMember[]> {
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  #askAll(): Promise<readonly FleetMember[]> {
    const { raft, directory, members } = this.#deps;
    const { peers } = raft.status();
    return Promise.all(
      members().map(async ({ id, name, isLearner }) => {
        const peer = peers.find((one) => one.id === id);
        const { report, roundTripMs } = await this.#askOne(id);
        return {
          id,
          name: name === "" ? (directory.nameOf(id) ?? "") : name,
          isLearner,
          report,
          roundTripMs,
          match: peer?.match,
          state: peer?.state,
        };
      }),
    );
  }

  /**
   * Without a leader for long, the others are asked who there is: one that joined after all that is
   * applied here may lead, and it is not listened to before its name is known.
   */
  tick(): void {
    const { raft, clock, electionMs, leadership, directory, onDirectoryChanged } = this.#deps;
    const now = clock.now();
    // A learner believes in its last leader for ever, so that one must be heard of too.
    if (raft.leader !== NO_MEMBER && leadership.isConnected(raft.leader)) {
      this.#ledAt = now;
      if (directory.forgetTold(raft.leader)) onDirectoryChanged();
    } else if (now - this.#ledAt >= 2 * electionMs) {
      this.#ledAt = now;
      this.#learn();
    }
  }

  /** Asks the others for any answer: whoever has applied that this member was removed says so. */
  poke(): void {
    const { self, directory, requests, electionMs } = this.#deps;
    for (const name of directory.others()) {
      const id = directory.idOf(name);
      if (id !== undefined && id !== self) {
        void requests.ask(id, { kind: "status" }, electionMs);
      }
    }
  }

  #learn(): void {
    const { self, name, directory, requests, electionMs, onDirectoryChanged } = this.#deps;
    for (const other of directory.others()) {
      const id = directory.idOf(other);
      if (id === undefined || id === self) continue;
      void requests.ask(id, { kind: "who-am-i", name }, electionMs).then((reply) => {
        if (reply?.kind === "member" && directory.learn(reply.members)) onDirectoryChanged();
      });
    }
  }

  async #askOne(
    id: MemberId,
  ): Promise<{ readonly report: MemberReport | undefined; readonly roundTripMs?: number }> {
    const { self, clock, requests, electionMs } = this.#deps;
    if (id === self) return { report: this.report(), roundTripMs: 0 };
    const since = clock.now();
    const reply = await requests.ask(id, { kind: "status" }, electionMs);
    if (reply?.kind !== "status") return { report: undefined };
    return { report: reply.report, roundTripMs: clock.now() - since };
  }
}
