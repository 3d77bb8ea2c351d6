import type { SnapshotMeta } from "../core/raft/mod.ts";

/** A copy of a member's whole state, as the node sees it; src/storage keeps it in files. */

/** What is known of a snapshot before any of its bytes. */
export interface SnapshotOffer {
  readonly meta: SnapshotMeta;
  /** Its size, at least 1. */
  readonly bytes: number;
  /** Of all its bytes, 32 bytes long. */
  readonly sha256: Uint8Array;
}

/** A snapshot to send. Several may read it at once. */
export interface OutgoingSnapshot extends SnapshotOffer {
  /** The bytes from `offset` on, exactly `length` of them. Rejects with what the disk says. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Must be called once nothing of it is needed any more; may be called again. */
  release(): void;
}

/** A snapshot that is being received, from its first byte to its last. */
export interface IncomingSnapshot {
  /** How many of the first bytes are there already, from an earlier attempt. */
  readonly have: number;
  /** Appends; `offset` is where the last write ended. Rejects with `no-space` or `storage-failed`. */
  write(offset: number, data: Uint8Array): Promise<void>;
  /**
   * Makes all of it durable and checks it. Rejects with `corrupt` if it is not what was offered, or
   * `storage-failed` if a newer version made it; then it is gone, as after `discard`.
   */
  finish(): Promise<void>;
  /** Ends it, and keeps what is there for the next offer of the same bytes. */
  suspend(): Promise<void>;
  /** Ends it and removes what is there. */
  discard(): Promise<void>;
}

export interface SnapshotStore {
  /**
   * A copy of the state as of an index that is `minIndex` or later. Made off the event loop, in
   * constant memory; one made earlier is used again where it is new enough. Rejects with `no-space`,
   * `storage-failed` or `corrupt`, and with `state-replaced` if another state was installed meanwhile.
   */
  create(minIndex: number): Promise<OutgoingSnapshot>;
  /**
   * Where to put the bytes of `offer`; goes on from what an earlier attempt left of the same bytes.
   * One at a time: the one before is suspended. Rejects with `no-space` or `storage-failed`.
   */
  receive(offer: SnapshotOffer): Promise<IncomingSnapshot>;
  /**
   * Puts the finished snapshot in place of the state and of the log. A crash leaves the old pair, or
   * one that the next start makes the new one; when it throws, the member must stop, for the same
   * reason. What held the old state in memory must be read again.
   */
  install(meta: SnapshotMeta): void;
}
