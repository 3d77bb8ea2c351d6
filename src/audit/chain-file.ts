import { join } from "node:path";
import type { Clock } from "../stdx/mod.ts";
import type { AuditFilePort } from "./file-port.ts";
import { auditFileName } from "./files.ts";

/** What audit tells of its own work; a Logger fits. */
export interface AuditNotices {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface ChainFileOptions {
  readonly folder: string;
  readonly files: AuditFilePort;
  readonly log: AuditNotices;
  readonly clock: Clock;
  readonly bytesMax: number;
  readonly ageMsMax: number;
  readonly syncMsMax: number;
  /** The file to go on with. */
  readonly found: { readonly path: string; readonly bytes: number } | undefined;
}

interface OpenFile {
  readonly fd: number;
  readonly path: string;
  readonly inode: number;
  readonly openedAt: number;
  /** What we have written. Invariant: the length of the file, unless a stranger changed it. */
  bytes: number;
  /** Nothing is written to it any more; see `#leave`. */
  isLeft: boolean;
}

/**
 * Names with one first sequence number: files that were made and lost before a record was in them.
 */
const NAME_TRIES_MAX = 1000;

/**
 * The file that grows now, and its successors. A file that was deleted, replaced or changed in
 * length behind our back is left, as evidence, and the chain goes on in a new one: what is lost is
 * named by `verifyAudit`, since the numbers and hashes go on.
 */
export class ChainFile {
  readonly #options: ChainFileOptions;
  #found: ChainFileOptions["found"];
  #file: OpenFile | undefined;
  #dirty = false;
  #timer: NodeJS.Timeout | undefined;
  /** What works on descriptors behind the requests, one after the other. */
  #syncing: Promise<void> | undefined;
  /** Why the last fsync failed, until one works: records that it covered may not be on the disk. */
  syncFailure: string | undefined;
  /** Files made since the start. */
  filesBegun = 0;

  constructor(options: ChainFileOptions) {
    this.#options = options;
    this.#found = options.found;
  }

  /** Writes whole lines, all or nothing. Throws what the disk threw. */
  append(text: string, firstSeq: number): void {
    const file = this.#current(firstSeq);
    const bytes = Buffer.from(text, "latin1");
    try {
      this.#options.files.write(file.fd, bytes);
    } catch (error) {
      this.#undo(file);
      throw error;
    }
    file.bytes += bytes.length;
    this.#dirty = true;
    this.#timer ??= setTimeout(() => void this.sync(), this.#options.syncMsMax / 2);
  }

  /** Waits until what is written is on the disk. Never rejects; see `syncFailure`. */
  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const file = this.#file;
    if (!this.#dirty || file === undefined) return;
    this.#dirty = false;
    await this.#behind(() => this.#syncFile(file));
  }

  /** Waits for the files that were left as well. */
  async close(): Promise<void> {
    await this.sync();
    clearTimeout(this.#timer);
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) this.#options.files.close(file.fd);
  }

  /** Does `work`, which never rejects, after all that was given before. */
  #behind(work: () => Promise<void>): Promise<void> {
    const done = (this.#syncing?.then(work) ?? work()).finally(() => {
      if (this.#syncing === done) this.#syncing = undefined;
    });
    this.#syncing = done;
    return done;
  }

  async #syncFile(file: OpenFile): Promise<void> {
    try {
      await this.#options.files.sync(file.fd);
      this.syncFailure = undefined;
    } catch (error) {
      this.syncFailure = reasonOf(error);
      this.#options.log.error("The audit log cannot be synced to the disk", { error });
      // The kernel may have dropped the pages and cleared the error: this file is not trusted
      // again.
      this.#leave(file);
    }
  }

  #current(firstSeq: number): OpenFile {
    const { files, clock, bytesMax, ageMsMax, log } = this.#options;
    const file = this.#file ?? this.#reopen();
    if (file !== undefined) {
      const now = files.stat(file.path);
      const ours = now?.inode === file.inode && now.bytes === file.bytes;
      const full = file.bytes >= bytesMax || clock.now() - file.openedAt >= ageMsMax;
      if (ours && (!full || file.bytes === 0)) return file;
      if (!ours) {
        log.error(
          "The audit file was deleted, replaced or changed; the chain goes on in a new one",
          {
            file: file.path,
          },
        );
      }
      this.#leave(file);
    }
    return (this.#file = this.#create(firstSeq));
  }

  /** Goes on with the file that was found at the start. */
  #reopen(): OpenFile | undefined {
    const found = this.#found;
    if (found === undefined) return undefined;
    const { files, clock } = this.#options;
    const stat = files.stat(found.path);
    this.#found = undefined;
    if (stat === undefined) return undefined;
    const fd = files.open(found.path);
    this.#file = { ...found, fd, inode: stat.inode, openedAt: clock.now(), isLeft: false };
    return this.#file;
  }

  #create(firstSeq: number): OpenFile {
    const { files, folder, clock } = this.#options;
    for (let attempt = 0; attempt < NAME_TRIES_MAX; attempt++) {
      const path = join(folder, auditFileName(firstSeq, attempt));
      if (files.stat(path) !== undefined) continue;
      const fd = files.create(path);
      const stat = files.stat(path);
      if (stat === undefined) {
        files.close(fd);
        throw new Error("the audit file was deleted as it was made");
      }
      files.syncFolder(folder);
      this.filesBegun++;
      return { fd, path, inode: stat.inode, bytes: 0, openedAt: clock.now(), isLeft: false };
    }
    throw new Error("the audit folder is full of files without records");
  }

  /** Takes back what a failed write left, or leaves the file when that fails as well. */
  #undo(file: OpenFile): void {
    try {
      this.#options.files.truncate(file.fd, file.bytes);
    } catch (error) {
      this.#options.log.error("A failed write of the audit log cannot be undone", { error });
      this.#leave(file);
    }
  }

  /**
   * Stops using a file: synced and closed behind the requests, and behind a sync of it that is under
   * way, which would fail, or reach another file, if the descriptor were closed under it.
   */
  #leave(file: OpenFile): void {
    if (this.#file === file) this.#file = undefined;
    if (file.isLeft) return;
    file.isLeft = true;
    const isDirty = this.#dirty;
    this.#dirty = false;
    void this.#behind(() => this.#finish(file, isDirty));
  }

  async #finish({ fd, path }: OpenFile, isDirty: boolean): Promise<void> {
    const { files, log } = this.#options;
    try {
      if (isDirty) await files.sync(fd);
    } catch (error) {
      this.syncFailure = reasonOf(error);
      log.error("The last audit records of a file are not synced", { file: path, error });
    }
    try {
      files.close(fd);
    } catch (error) {
      log.error("An audit file cannot be closed", { file: path, error });
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : "fsync failed";
}
