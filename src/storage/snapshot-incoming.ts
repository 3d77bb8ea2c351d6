import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { SnapshotMeta } from "../core/raft/mod.ts";
import { CofferError } from "../errors.ts";
import { type Cancel, type Scheduler, assert } from "../stdx/mod.ts";
import { decodeConfState, encodeConfState } from "../wire/mod.ts";
import type { FileMac } from "./file-mac.ts";
import { type VolumeOf, type SnapshotPaths, ensureRoom, removeDatabase } from "./snapshot-files.ts";
import type { StateContent } from "./snapshot-protocol.ts";
import { type FinishedReply, type RunningTask, startTask } from "./snapshot-task.ts";
import { verifiedContent } from "./state-content.ts";
import { STATE_SCHEMA_VERSION } from "./state-schema.ts";
import { stateError } from "./state-errors.ts";

export interface Offer {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  readonly sha256: Uint8Array;
}

export interface Incoming {
  readonly have: number;
  write(offset: number, data: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  suspend(): Promise<void>;
  discard(): Promise<void>;
}

/** Written back bit by bit: a flush of all of it at once would hold up the fsync of the Raft log. */
const SYNC_BYTES = 16 * 1024 * 1024;

/** What nobody goes on with is removed after so long: the member got the entries in another way. */
const IDLE_MS = 10 * 60_000;

/** Finished ones kept for the node to install: the newest, and one it may have taken before that. */
const FINISHED_KEPT = 2;

/** What is received on one member: one at a time, and the finished ones until they are installed. */
export class IncomingFiles {
  readonly #paths: SnapshotPaths;
  readonly #volume: VolumeOf;
  readonly #scheduler: Scheduler;
  readonly #mac: FileMac;
  #current: IncomingFile | undefined;
  #opening: Promise<unknown> = Promise.resolve();
  #finished: readonly FinishedFile[] = [];
  #idle: Cancel | undefined;
  #isClosed = false;

  constructor(options: {
    readonly paths: SnapshotPaths;
    readonly volume: VolumeOf;
    readonly scheduler: Scheduler;
    /** Of the state: what was written by somebody without it is not taken. */
    readonly mac: FileMac;
  }) {
    this.#paths = options.paths;
    this.#volume = options.volume;
    this.#scheduler = options.scheduler;
    this.#mac = options.mac;
    this.#removeWhenIdle();
  }

  receive(offer: Offer): Promise<Incoming> {
    const opened = this.#opening.then(() => this.#open(offer));
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  /** The finished snapshot of `meta`; undefined if it has not been received. */
  finishedOf({ index, term }: SnapshotMeta): string | undefined {
    return this.#finished.find(({ meta }) => meta.index === index && meta.term === term)?.path;
  }

  /** Forgets finished ones up to `index`. */
  forget(index: number): void {
    for (const { meta, path } of this.#finished) if (meta.index <= index) removeDatabase(path);
    this.#finished = this.#finished.filter(({ meta }) => meta.index > index);
  }

  close(): void {
    this.#isClosed = true;
    this.#idle?.();
    void this.#current?.suspend();
  }

  #removeWhenIdle(): void {
    this.#idle?.();
    if (this.#isClosed) return;
    this.#idle = this.#scheduler.after(IDLE_MS, () => {
      if (this.#current?.isOpen !== true) removePartial(this.#paths);
      this.forget(Number.MAX_SAFE_INTEGER);
    });
  }

  async #open(offer: Offer): Promise<Incoming> {
    if (this.#isClosed) throw new CofferError("stopped");
    await this.#current?.suspend();
    this.#idle?.();
    const { folder, incoming, incomingNote } = this.#paths;
    try {
      const note = noteOf(offer);
      if (readNote(incomingNote) !== note) removePartial(this.#paths);
      const handle = await open(incoming, "a", 0o600);
      try {
        let { size } = await handle.stat();
        if (size > offer.bytes) {
          await handle.truncate(0);
          size = 0;
        }
        await ensureRoom(folder, offer.bytes - size, this.#volume);
        writeFileSync(incomingNote, note, { mode: 0o600 });
        this.#current = new IncomingFile(
          this.#paths,
          { offer, handle, size, mac: this.#mac },
          {
            onFinished: (finished) => this.#addFinished(finished),
            onEnded: () => this.#removeWhenIdle(),
          },
        );
        return this.#current;
      } catch (failure) {
        await handle.close();
        throw failure;
      }
    } catch (failure) {
      this.#removeWhenIdle();
      throw stateError(incoming, failure);
    }
  }

  #addFinished({ meta, path }: FinishedFile): void {
    const others = this.#finished.filter((other) => other.path !== path);
    this.#finished = [{ meta, path }, ...others].slice(0, FINISHED_KEPT);
    for (const other of others) if (!this.#finished.includes(other)) removeDatabase(other.path);
  }
}

interface FinishedFile {
  readonly meta: SnapshotMeta;
  readonly path: string;
}

interface IncomingEvents {
  readonly onFinished: (finished: FinishedFile) => void;
  readonly onEnded: () => void;
}

/** The bytes of one offer, as they come in. */
class IncomingFile implements Incoming {
  readonly have: number;
  readonly #paths: SnapshotPaths;
  readonly #mac: FileMac;
  readonly #offer: Offer;
  readonly #handle: FileHandle;
  readonly #on: IncomingEvents;
  #size: number;
  #unsynced = 0;
  #handleIsOpen = true;
  /** The file at `incoming` is this one's; from the end on it may be that of the next. */
  #isOpen = true;
  /** The end has been asked for: no check begins, or goes on. */
  #isEnding = false;
  #work: Promise<unknown> = Promise.resolve();
  #task: RunningTask | undefined;

  constructor(
    paths: SnapshotPaths,
    opened: {
      readonly offer: Offer;
      readonly handle: FileHandle;
      readonly size: number;
      readonly mac: FileMac;
    },
    on: IncomingEvents,
  ) {
    this.#paths = paths;
    this.#mac = opened.mac;
    this.#offer = opened.offer;
    this.#handle = opened.handle;
    this.#size = opened.size;
    this.have = opened.size;
    this.#on = on;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      assert(offset === this.#size, "A snapshot is written with a gap or twice");
      assert(offset + data.length <= this.#offer.bytes, "More is written than was offered");
      await this.#handle.appendFile(data);
      this.#size += data.length;
      this.#unsynced += data.length;
      if (this.#unsynced < SYNC_BYTES) return;
      await this.#handle.datasync();
      this.#unsynced = 0;
    });
  }

  finish(): Promise<void> {
    return this.#inTurn(async () => {
      assert(this.#size === this.#offer.bytes, "A snapshot is finished before its end");
      await this.#handle.sync();
      await this.#closeHandle();
      try {
        await this.#check();
      } catch (failure) {
        if (this.#isEnding) throw canceled();
        removePartial(this.#paths);
        this.#end();
        throw failure;
      }
      const { index, term } = this.#offer.meta;
      const path = join(this.#paths.folder, `received-${term}-${index}.db`);
      renameSync(this.#paths.incoming, path);
      rmSync(this.#paths.incomingNote, { force: true });
      this.#end();
      this.#on.onFinished({ meta: this.#offer.meta, path });
    });
  }

  suspend(): Promise<void> {
    return this.#endAfterWork(() => undefined);
  }

  discard(): Promise<void> {
    return this.#endAfterWork(() => removePartial(this.#paths));
  }

  #endAfterWork(last: () => void): Promise<void> {
    this.#isEnding = true;
    this.#task?.abandon();
    return this.#afterWork(async () => {
      if (!this.#isOpen) return;
      await this.#closeHandle();
      last();
      this.#end();
    });
  }

  async #check(): Promise<void> {
    if (this.#isEnding) throw canceled();
    const { incoming } = this.#paths;
    const task = { kind: "check", path: incoming, sha256: this.#offer.sha256 } as const;
    this.#task = startTask(task, incoming);
    try {
      judge(await this.#task.reply, this.#offer.meta);
    } finally {
      this.#task = undefined;
    }
    // Before it takes the place of a state that is good.
    verifiedContent(incoming, this.#mac);
  }

  async #closeHandle(): Promise<void> {
    if (!this.#handleIsOpen) return;
    this.#handleIsOpen = false;
    await this.#handle.close();
  }

  #end(): void {
    this.#isOpen = false;
    this.#on.onEnded();
  }

  /** One piece of work after the other, each only while the file is open. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    return this.#afterWork(async () => {
      if (!this.#isOpen || this.#isEnding) throw canceled();
      try {
        await work();
      } catch (failure) {
        throw stateError(this.#paths.incoming, failure);
      }
    });
  }

  #afterWork(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    return done;
  }
}

function canceled(): CofferError {
  return new CofferError("canceled", "the snapshot is not received any more");
}

/** Throws unless the bytes are the state that was offered. */
function judge(reply: FinishedReply, meta: SnapshotMeta): void {
  switch (reply.kind) {
    case "checked": {
      if (isAsOffered(reply.content, meta)) return;
      const { index, term } = reply.content;
      throw new CofferError(
        "corrupt",
        `the snapshot received is of entry ${index} of term ${term}, and was offered as one of ` +
          `entry ${meta.index} of term ${meta.term}`,
      );
    }
    case "other-schema":
      throw new CofferError("storage-failed", otherSchema(reply.version));
    case "wrong-hash":
      throw new CofferError("corrupt", "the snapshot received is not the one that was offered");
    case "no-state":
      throw new CofferError("corrupt", `the snapshot received is damaged: ${reply.problem}`);
    case "copied":
      assert(false, "The snapshot worker answers what it was asked");
  }
}

function otherSchema(version: number): string {
  const found = `the snapshot received has schema version ${version}`;
  return version > STATE_SCHEMA_VERSION
    ? `${found}, this coffer knows up to ${STATE_SCHEMA_VERSION}: run a newer coffer`
    : `${found}, this coffer takes ${STATE_SCHEMA_VERSION} alone: run this coffer on the leader ` +
        "too, or the leader's here until all members can be updated";
}

function isAsOffered({ index, term, confState }: StateContent, meta: SnapshotMeta): boolean {
  if (index !== meta.index || term !== meta.term || confState === undefined) return false;
  const found = encodeConfState(decodeConfState(confState));
  return Buffer.from(found).equals(encodeConfState(meta.confState));
}

/** What the bytes beside it belong to. */
function noteOf({ meta, bytes, sha256 }: Offer): string {
  const { index, term } = meta;
  return `${JSON.stringify({ sha256: Buffer.from(sha256).toString("hex"), bytes, index, term })}\n`;
}

function readNote(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function removePartial({ incoming, incomingNote }: SnapshotPaths): void {
  removeDatabase(incoming);
  rmSync(incomingNote, { force: true });
}
