import type { ClusterId, MemberId, TenantCompaction } from "../core/types/mod.ts";
import type { ConfState } from "../core/raft/mod.ts";
import type { Clock, Prng, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { decodeConfState } from "../wire/mod.ts";
import type { KnownMember } from "./directory.ts";
import type {
  LogStore,
  NodeObserver,
  NodeStorage,
  NodeTimes,
  Peers,
  StateMachine,
} from "./ports.ts";
import type { SnapshotStore } from "./snapshot-ports.ts";

export interface NodeOptions {
  readonly memberId: MemberId;
  readonly clusterId: ClusterId;
  /** This member's, on the transport. */
  readonly name: string;
  readonly log: LogStore;
  readonly machine: StateMachine;
  /** See `confStateAtStart`. */
  readonly confState: ConfState;
  /** The first members, this one among them, until the replicated table tells of them. */
  readonly seedMembers: readonly KnownMember[];
  readonly storage: NodeStorage;
  readonly snapshots: SnapshotStore;
  readonly peers: Peers;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  /** Seeded anew for each start of the member. */
  readonly random: Prng;
  readonly times: NodeTimes;
  /** Applied entries after which the log is compacted. */
  readonly snapshotEntries: number;
  /** The compaction of tenants that have none of their own. None unless given. */
  readonly autoCompaction?: TenantCompaction;
  readonly observer: NodeObserver;
  readonly logger: Logger;
  /** What is told to other members that ask. */
  readonly report: () => {
    readonly version: string;
    readonly dbBytes: number;
    readonly dbBytesInUse: number;
  };
  /** The names of the other members, at the start and whenever they change. */
  readonly onMembers: (names: readonly string[]) => void;
  /** Once: this member was removed from the cluster, and serves nothing any more. */
  readonly onRemoved: (reason: string) => void;
  /** A broken invariant or disk: the process must stop. */
  readonly onFatal: (error: unknown) => void;
}

/**
 * The configuration that a member starts with: the one stored with its state, else that of the first
 * members; `initial` is empty for a member that joins.
 */
export function confStateAtStart(
  stored: Uint8Array | undefined,
  initial: readonly MemberId[],
): ConfState {
  if (stored !== undefined) return decodeConfState(stored);
  const voters = [...initial].sort((a, b) => (a < b ? -1 : 1));
  return { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
}
