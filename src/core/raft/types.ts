import type { ErrorCode } from "../../errors.ts";
import type { Prng } from "../../stdx/mod.ts";
import type { MemberId } from "../types/mod.ts";

/**
 * The words of the consensus: etcd-io/raft's, and the Raft paper's. Terms and indexes are safe
 * integers from 0; the first entry of a log has index 1 and a term of at least 1.
 */

/** No member: the vote not yet cast, the leader not known. */
export const NO_MEMBER: MemberId = 0n as MemberId;

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: "normal" | "conf-change";
  /**
   * Empty for the entry that a new leader appends (Raft §8), which the state machine passes over.
   */
  readonly data: Uint8Array;
}

/**
 * What a member must not forget. `commit` may lag behind, but must be saved with the entries that
 * it was handed out with: it tells which changes of members in the log are in force (see ready.ts).
 */
export interface HardState {
  readonly term: number;
  /** NO_MEMBER: none cast in this term. */
  readonly vote: MemberId;
  readonly commit: number;
}

/** Who takes part. Joint (Raft §6) while `votersOutgoing` is not empty. */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /** Voters of the configuration being left. */
  readonly votersOutgoing: readonly MemberId[];
  /** Outgoing voters that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** Whether the leader leaves the joint configuration by itself. */
  readonly autoLeave: boolean;
}

/** A state machine's state as of `index`; the data itself never passes through this room. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** The saved part of the log, read synchronously. The node implements it on its storage. */
export interface LogReader {
  /** The index of the oldest entry kept: the snapshot's index + 1. 1 for a fresh log. */
  readonly firstIndex: number;
  /** `firstIndex - 1` if no entry is kept. */
  readonly lastIndex: number;
  /** The term at `index`; known from `firstIndex - 1` (0 for index 0) to `lastIndex`. */
  term(index: number): number | undefined;
  /** The entries from `lo` up to but without `hi`, as many as fit in `bytesMax`, at least one. */
  entries(lo: number, hi: number, bytesMax: number): readonly Entry[];
}

export interface RaftLimits {
  /** Bytes of entries in one append message; one larger entry travels alone. */
  readonly messageBytesMax: number;
  /** Append messages on their way to one peer. */
  readonly inflightMessagesMax: number;
  /** Bytes of entries on their way to one peer. */
  readonly inflightBytesMax: number;
  /** Bytes proposed and not yet handed out to apply; past it proposals are refused. */
  readonly uncommittedBytesMax: number;
  /** Bytes of committed entries in one Ready. */
  readonly applyBytesMax: number;
  /** Bytes of applied entries kept in memory for peers that lag a little. */
  readonly cacheBytesMax: number;
  /** Reads waiting for a quorum; past it they are refused. */
  readonly pendingReadsMax: number;
}

export const DEFAULT_LIMITS: RaftLimits = {
  messageBytesMax: 512 * 1024,
  inflightMessagesMax: 512,
  inflightBytesMax: 16 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  applyBytesMax: 4 * 1024 * 1024,
  cacheBytesMax: 16 * 1024 * 1024,
  pendingReadsMax: 16_384,
};

export interface RaftConfig {
  readonly id: MemberId;
  readonly log: LogReader;
  /** As saved; `{term: 0, vote: NO_MEMBER, commit: 0}` for a fresh member. */
  readonly hardState: HardState;
  /** As of `applied`; the agreed first members for a fresh cluster, none for one that joins. */
  readonly confState: ConfState;
  /** The last index that the state machine has applied and will find again after a crash. */
  readonly applied: number;
  /** Draws the election timeouts. */
  readonly random: Prng;
  /** The election timeout is drawn from [electionTicks, 2 x electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Ask before raising the term (Raft thesis §9.6). Default true. */
  readonly preVote?: boolean;
  /** Step down without contact to a quorum (Raft thesis §6.2). Default true. */
  readonly checkQuorum?: boolean;
  readonly limits?: Partial<RaftLimits>;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

export interface Leadership {
  readonly role: Role;
  readonly term: number;
  /** NO_MEMBER: not known. */
  readonly leader: MemberId;
}

/** What came of the read asked for with `ctx`. */
export interface ReadState {
  readonly ctx: number;
  /**
   * It may be served once the state machine has applied this entry. `undefined`: the leader, which was
   * asked for it, refuses it, as too many wait there.
   */
  readonly index: number | undefined;
}

/**
 * What `saved` must be told when a Ready's save is durable. It carries the member's term at the
 * time: an index alone does not say which of two entries, of two terms, was saved (the ABA race).
 */
export interface SaveAck {
  readonly term: number;
  /** The last entry of the log as of this save. */
  readonly index: number;
  readonly logTerm: number;
}

/**
 * The work of one turn. Saves are to be done in the order they were handed out. Everything else may
 * be done in any order: entries are handed out to apply only once they are saved here.
 */
export interface Ready {
  /** Given when role, term or leader changed: waiting reads and forwarded proposals may be lost. */
  readonly leadership: Leadership | undefined;
  /** To save, in one transaction with `entries`. */
  readonly hardState: HardState | undefined;
  /**
   * To install in place of log and state before `entries` are saved; then `applied` is its index.
   */
  readonly snapshot: SnapshotMeta | undefined;
  /** To append to the saved log; what is saved at or after the first one's index is replaced. */
  readonly entries: readonly Entry[];
  /** Given when there is something to confirm with `saved`. */
  readonly save: SaveAck | undefined;
  /** Whether the save must reach the disk before it is confirmed. */
  readonly mustSync: boolean;
  /** To send at once. */
  readonly messages: readonly Message[];
  /** To send when this save, and those before it, are durable. */
  readonly messagesAfterSave: readonly Message[];
  readonly readStates: readonly ReadState[];
  /** To apply, in order; confirmed by `applied`. */
  readonly committedEntries: readonly Entry[];
}

export type ProposeResult =
  | { readonly kind: "appended"; readonly index: number; readonly term: number }
  /** Sent on to the leader; whether it arrives is not known. */
  | { readonly kind: "forwarded"; readonly to: MemberId }
  | Refusal;

export type ReadResult = { readonly kind: "accepted" } | Refusal;

export type TransferResult = { readonly kind: "accepted" } | Refusal;

/** `code` is what a client should see; `reason` says why, for the log. */
export interface Refusal {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly reason: string;
}

/**
 * What the sender of a message about an election knows to be committed. Whoever has that entry may
 * take it for committed too: else a change of members could stay unknown to those who need it to
 * elect a leader, when the one that knows of it can neither lead nor vote for a shorter log.
 */
interface CommitKnowledge {
  readonly commit: number;
  readonly commitTerm: number;
}

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; 0 in messages that carry none (propose, read-index, transfer-leader). */
  readonly term: number;
}

export interface AppendMessage extends Envelope {
  readonly kind: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

export interface AppendRespMessage extends Envelope {
  readonly kind: "append-resp";
  /** Accepted: the last index that agrees. Rejected: the `prevIndex` that does not. */
  readonly index: number;
  readonly rejected: boolean;
  /** Rejected: where the follower's log may agree at the highest, and its term there. */
  readonly hintIndex: number;
  readonly hintTerm: number;
  /**
   * Rejected: the follower knows no configuration. The first one is not in the log, so entries
   * alone could not tell it who its fellow members are.
   */
  readonly needsSnapshot: boolean;
}

export interface HeartbeatMessage extends Envelope {
  readonly kind: "heartbeat";
  readonly commit: number;
  /** The newest read round of this leader and term; 0 before the first. */
  readonly round: number;
}

export interface HeartbeatRespMessage extends Envelope {
  readonly kind: "heartbeat-resp";
  readonly round: number;
}

export interface VoteMessage extends Envelope, CommitKnowledge {
  readonly kind: "vote" | "pre-vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader itself asked for this election: a live leader is no ground to refuse. */
  readonly transfer: boolean;
}

export interface VoteRespMessage extends Envelope, CommitKnowledge {
  readonly kind: "vote-resp" | "pre-vote-resp";
  readonly rejected: boolean;
}

/**
 * The peer needs a snapshot, of this index or a later one. The node streams the data, puts what it
 * really sent in `snapshot`, and lets the peer step this message once all of it has arrived.
 */
export interface SnapshotMessage extends Envelope {
  readonly kind: "snapshot";
  readonly snapshot: SnapshotMeta;
}

export interface TimeoutNowMessage extends Envelope {
  readonly kind: "timeout-now";
}

export interface ProposeMessage extends Envelope {
  readonly kind: "propose";
  readonly entryKind: Entry["kind"];
  readonly data: Uint8Array;
}

export interface ReadIndexMessage extends Envelope {
  readonly kind: "read-index";
  readonly ctx: number;
}

export interface ReadIndexRespMessage extends Envelope {
  readonly kind: "read-index-resp";
  readonly ctx: number;
  readonly index: number;
}

/** Too many reads wait for a quorum already. */
export interface ReadIndexRefusedMessage extends Envelope {
  readonly kind: "read-index-refused";
  readonly ctx: number;
}

export interface TransferLeaderMessage extends Envelope {
  readonly kind: "transfer-leader";
  readonly transferee: MemberId;
}

export type Message =
  | AppendMessage
  | AppendRespMessage
  | HeartbeatMessage
  | HeartbeatRespMessage
  | VoteMessage
  | VoteRespMessage
  | SnapshotMessage
  | TimeoutNowMessage
  | ProposeMessage
  | ReadIndexMessage
  | ReadIndexRespMessage
  | ReadIndexRefusedMessage
  | TransferLeaderMessage;

export interface ConfChangeSingle {
  readonly type: "add-voter" | "add-learner" | "remove";
  readonly id: MemberId;
}

/**
 * A change of members. `auto`: simple if one voter changes, else joint and left by itself. An
 * explicit joint change is left by a change without `changes`.
 */
export interface ConfChange {
  readonly transition: "auto" | "joint-implicit" | "joint-explicit";
  readonly changes: readonly ConfChangeSingle[];
  /** Kept in the entry with the change, and not looked at here: what the node makes of it. */
  readonly context: Uint8Array;
}

export type ProgressState = "probe" | "replicate" | "snapshot";

export interface PeerStatus {
  readonly id: MemberId;
  readonly isLearner: boolean;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  readonly recentActive: boolean;
  readonly paused: boolean;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** 0: none. */
  readonly pendingSnapshot: number;
}

export interface Status {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: number;
  readonly vote: MemberId;
  readonly leader: MemberId;
  readonly isLearner: boolean;
  readonly commit: number;
  readonly applied: number;
  readonly saved: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly confState: ConfState;
  /** NO_MEMBER: no transfer under way. */
  readonly transferee: MemberId;
  /** Of a leader; empty otherwise. */
  readonly peers: readonly PeerStatus[];
  readonly uncommittedBytes: number;
  readonly pendingReads: number;
}

/** One member's consensus: a pure state machine, driven by its node. */
export interface Raft {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: number;
  readonly leader: MemberId;
  readonly commit: number;
  /** Time passes by one tick. */
  tick(): void;
  /** Takes a message of a peer. One of a stranger, or of an older term, is harmless. */
  step(message: Message): void;
  /** Asks for `data` to be appended: one entry. `data` is kept, not copied. */
  propose(data: Uint8Array): ProposeResult;
  proposeConfChange(change: ConfChange): ProposeResult;
  /**
   * Asks for a linearizable read; the answer comes as a ReadState with `ctx`. A `ctx` is never used
   * again, neither by this life of the member nor by a later one. Ask again with a new one when
   * leadership changed.
   */
  readIndex(ctx: number): ReadResult;
  transferLeader(to: MemberId): TransferResult;
  /** Starts an election without waiting for the timeout. Does nothing on a learner or a leader. */
  campaign(): void;
  /** Sending to `id` failed. */
  reportUnreachable(id: MemberId): void;
  /** The snapshot for `id` was delivered, or given up. */
  reportSnapshot(id: MemberId, delivered: boolean): void;
  /** The next work, or `undefined`. Each is handed out once; several may be under way. */
  ready(): Ready | undefined;
  /** The save of the Ready that held `ack` is durable. In the order they were handed out. */
  saved(ack: SaveAck): void;
  /**
   * Puts a committed conf-change entry into force; the node calls it as it applies the entry, and
   * keeps the answer with the applied index.
   */
  applyConfChange(entry: Entry): ConfState;
  /** The state machine has applied all entries handed out up to `index`. */
  applied(index: number): void;
  /** Confirms all that was handed out: `saved` and `applied` in one, for a synchronous node. */
  advance(): void;
  status(): Status;
}
