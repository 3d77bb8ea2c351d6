import { closeSync, existsSync, openSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { SnapshotMeta } from "../core/raft/mod.ts";
import { CofferError } from "../errors.ts";
import { type Cancel, type Scheduler, assert } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { decodeConfState } from "../wire/mod.ts";
import { type VolumeOf, type SnapshotPaths, ensureRoom, removeDatabase } from "./snapshot-files.ts";
import { type RunningTask, startTask } from "./snapshot-task.ts";
import { stateError } from "./state-errors.ts";

/** A copy of the state, in a file, for members that are to be sent it. */
export interface Outgoing {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  readonly sha256: Uint8Array;
  read(offset: number, length: number): Promise<Uint8Array>;
  release(): void;
}

/** A copy that nobody reads is kept this long for a member that comes back to go on with it. */
const IDLE_MS = 10 * 60_000;

export interface OutgoingOptions {
  readonly paths: SnapshotPaths;
  readonly scheduler: Scheduler;
  readonly volume: VolumeOf;
  /** Commits the state, so that the copy holds all that was applied. */
  readonly commit: () => void;
  readonly log: Logger;
}

/** The copies of one member: one is made at a time, and the newest is shared. */
export class OutgoingCopies {
  readonly #options: OutgoingOptions;
  #count = 0;
  #newest: OutgoingFile | undefined;
  #making: Promise<OutgoingFile> | undefined;
  #task: RunningTask | undefined;
  #isClosed = false;
  readonly #files = new Set<OutgoingFile>();

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  async create(minIndex: number): Promise<Outgoing> {
    for (;;) {
      if (this.#isClosed) throw new CofferError("stopped");
      if (this.#newest !== undefined && this.#newest.meta.index >= minIndex) {
        return this.#newest.share();
      }
      if (this.#making === undefined) {
        const file = await this.#make();
        assert(
          file.meta.index >= minIndex,
          "A snapshot of entries that are not applied is asked for",
        );
        return file.share();
      }
      // A failure of that one is told to who asked for it; this one tries for itself.
      await this.#making.catch(() => undefined);
    }
  }

  /** Ends a copy under way, and returns when the state's file is closed by it. */
  stopCopying(): void {
    this.#task?.stop();
  }

  close(): void {
    this.#isClosed = true;
    this.stopCopying();
    for (const file of this.#files) this.#remove(file);
  }

  #make(): Promise<OutgoingFile> {
    this.#making = this.#copy().finally(() => {
      this.#making = undefined;
      this.#task = undefined;
    });
    return this.#making;
  }

  async #copy(): Promise<OutgoingFile> {
    const { paths, volume, commit, log } = this.#options;
    const begun = performance.now();
    commit();
    this.#count += 1;
    const path = join(paths.folder, `outgoing-${this.#count}.db`);
    await ensureRoom(paths.folder, sizeOf(paths.state) + sizeOf(`${paths.state}-wal`), volume);
    try {
      closeSync(openSync(path, "wx", 0o600));
      this.#task = startTask({ kind: "copy", source: paths.state, target: path }, path);
      const reply = await this.#task.reply;
      if (this.#isClosed) throw new CofferError("stopped");
      assert(reply.kind === "copied", "The snapshot worker answers what it was asked");
      const { bytes, sha256, content } = reply;
      const meta = { index: content.index, term: content.term, confState: confStateOf(content) };
      const file = new OutgoingFile({ meta, bytes, sha256, path, handle: await open(path, "r") });
      this.#add(file);
      const ms = Math.round(performance.now() - begun);
      log.info("State copied for members that are behind", { index: meta.index, bytes, ms });
      return file;
    } catch (failure) {
      removeDatabase(path);
      if (this.#isClosed) throw new CofferError("stopped");
      throw stateError(path, failure);
    }
  }

  #add(file: OutgoingFile): void {
    this.#files.add(file);
    const before = this.#newest;
    this.#newest = file;
    if (before !== undefined && !before.isRead) this.#remove(before);
    let idle: Cancel | undefined;
    file.onRead = () => idle?.();
    file.onIdle = () => {
      if (file !== this.#newest) this.#remove(file);
      else idle = this.#options.scheduler.after(IDLE_MS, () => this.#remove(file));
    };
  }

  #remove(file: OutgoingFile): void {
    if (file === this.#newest) this.#newest = undefined;
    this.#files.delete(file);
    file.remove();
  }
}

function confStateOf({
  confState,
}: {
  readonly confState: Uint8Array | undefined;
}): SnapshotMeta["confState"] {
  if (confState !== undefined) return decodeConfState(confState);
  throw new CofferError(
    "storage-failed",
    "the state holds no configuration of the members yet, so it cannot be sent to one",
  );
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

/** One copy; removed when it is neither read nor the newest. */
class OutgoingFile {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  readonly sha256: Uint8Array;
  onRead: () => void = () => undefined;
  onIdle: () => void = () => undefined;
  readonly #path: string;
  readonly #handle: FileHandle;
  #readers = 0;
  #isRemoved = false;

  constructor(made: {
    readonly meta: SnapshotMeta;
    readonly bytes: number;
    readonly sha256: Uint8Array;
    readonly path: string;
    readonly handle: FileHandle;
  }) {
    this.meta = made.meta;
    this.bytes = made.bytes;
    this.sha256 = made.sha256;
    this.#path = made.path;
    this.#handle = made.handle;
  }

  get isRead(): boolean {
    return this.#readers > 0;
  }

  share(): Outgoing {
    this.#readers += 1;
    this.onRead();
    let isHeld = true;
    const { meta, bytes, sha256 } = this;
    return {
      meta,
      bytes,
      sha256,
      read: (offset, length) => this.#read(offset, length),
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#readers -= 1;
        if (this.#readers === 0 && !this.#isRemoved) this.onIdle();
      },
    };
  }

  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    rmSync(this.#path, { force: true });
    // Waits for the reads under way.
    void this.#handle.close();
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    assert(offset >= 0 && offset + length <= this.bytes, "A snapshot is read outside its bytes");
    if (this.#isRemoved) throw new CofferError("stopped");
    const data = new Uint8Array(length);
    let filled = 0;
    try {
      while (filled < length) {
        const at = { offset: filled, length: length - filled, position: offset + filled };
        const { bytesRead } = await this.#handle.read(data, at);
        if (bytesRead === 0) throw new CofferError("corrupt", `"${this.#path}" has been cut short`);
        filled += bytesRead;
      }
    } catch (failure) {
      throw stateError(this.#path, failure);
    }
    return data;
  }
}
