import type { SnapshotMeta } from "../core/raft/mod.ts";
import { type Scheduler, assert } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { RaftLog } from "./raft-log.ts";
import { type VolumeOf, volumeOf, prepareSnapshotFolder, snapshotPaths } from "./snapshot-files.ts";
import { type Incoming, IncomingFiles, type Offer } from "./snapshot-incoming.ts";
import { type InstallStep, installSnapshot } from "./snapshot-install.ts";
import { type Outgoing, OutgoingCopies } from "./snapshot-outgoing.ts";
import { withStateErrors } from "./state-errors.ts";
import type { StateStore } from "./state-store.ts";

export interface SnapshotStoreOptions {
  /** Where state.db and raft.db are. */
  readonly dataDir: string;
  readonly store: StateStore;
  readonly raftLog: RaftLog;
  readonly log: Logger;
  readonly scheduler: Scheduler;
  /**
   * Commits what the state holds back, so that a copy holds all that was applied: the state machine's
   * `flush`, which also goes back to what is there when it fails.
   */
  readonly commit: () => void;
  /** The system's answer unless given. */
  readonly volume?: VolumeOf;
  /** Called before each step of an install; for tests. */
  readonly beforeStep?: (step: InstallStep) => void;
}

/** Snapshots of a member in its data folder; `SnapshotStore` of src/node says what each call does. */
export interface FileSnapshotStore {
  create(minIndex: number): Promise<Outgoing>;
  receive(offer: Offer): Promise<Incoming>;
  install(meta: SnapshotMeta): void;
  /** Before the state's own close. */
  close(): void;
}

/**
 * Makes the folder of snapshots, and removes from it what an earlier life left but for a snapshot that
 * was being received. Throws `storage-failed` or `no-space`.
 */
export function openSnapshotStore(options: SnapshotStoreOptions): FileSnapshotStore {
  const paths = snapshotPaths(options.dataDir);
  const { raftLog, store, log, scheduler, commit, volume = volumeOf } = options;
  withStateErrors(paths.folder, () => prepareSnapshotFolder(paths));
  const outgoing = new OutgoingCopies({ paths, scheduler, volume, commit, log });
  const incoming = new IncomingFiles({ paths, volume, scheduler, mac: store.mac });
  return {
    create: (minIndex) => outgoing.create(minIndex),
    receive: (offer) => incoming.receive(offer),
    install(meta) {
      const received = incoming.finishedOf(meta);
      assert(received !== undefined, "A snapshot is installed that has not been received");
      assert(raftLog.hardState.commit <= meta.index, "A snapshot must not undo what is committed");
      // A thread that reads the old state would close it after the new one is in its place.
      outgoing.stopCopying();
      const { index, term } = meta;
      const target = { paths, raftLog, store, before: options.beforeStep };
      installSnapshot(target, received, { index, term });
      incoming.forget(index);
    },
    close() {
      incoming.close();
      outgoing.close();
    },
  };
}
