import { mkdir } from "node:fs/promises";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import { type AuditFilePort, nodeFiles } from "./file-port.ts";
import { type AuditNotices, ChainFile } from "./chain-file.ts";
import {
  type AuditEvent,
  type ChainHead,
  createLineContext,
  type LineContext,
  renderLine,
} from "./record.ts";
import { recoverChain } from "./recover.ts";
import { type AuditTailQuery, tailOf } from "./tail.ts";

export interface AuditOptions {
  /** Made with mode 0700 if it is not there. One member's alone. */
  readonly folder: string;
  readonly memberId: string;
  readonly clock: Clock;
  readonly log: AuditNotices;
  /** A file is closed and the next begun past this. Default 64 MiB. */
  readonly fileBytesMax?: number;
  /** Likewise past this since it was opened. Milliseconds; default one day. */
  readonly fileAgeMsMax?: number;
  /** How long a written record may wait for its fsync. Default 100. */
  readonly syncMsMax?: number;
  /** The disk; tests give another. */
  readonly files?: AuditFilePort;
}

/** The hash-chained record of every request of this member. */
export interface Audit {
  /**
   * Resolves once the record is in the file; all records of one turn of the event loop go in one
   * write, and into the disk at most `syncMsMax` later. Rejects with `audit-blocked` when they
   * cannot be written; the chain then goes on as if they had never been given. Must be handled.
   */
  append(event: AuditEvent): Promise<void>;
  /** Why nothing can be written now; undefined: all is well. Each append tries again. */
  readonly blocked: string | undefined;
  /** The last record that is written: what a checkpoint signs. */
  readonly head: ChainHead;
  /** What was found at the start: bytes of a partial last line that were cut off. */
  readonly droppedBytes: number;
  /** Lines that match, oldest first. */
  tail(query: AuditTailQuery): Promise<readonly string[]>;
  /** Writes what waits, and waits for the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const FILE_BYTES_MAX = 64 * 1024 * 1024;
const FILE_AGE_MS_MAX = 24 * 3600_000;
const SYNC_MS_MAX = 100;

/** Opens the chain of a member's folder, where it ended. */
export async function openAudit(options: AuditOptions): Promise<Audit> {
  const { folder, log } = options;
  const files = options.files ?? nodeFiles;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await recoverChain(folder, files);
  if (found.droppedBytes > 0) {
    log.warn("Cut off a partial last line of the audit log, as a crash leaves it", {
      bytes: found.droppedBytes,
    });
  }
  if (found.damaged !== undefined) {
    log.error("The end of the audit log was changed; run coffer audit verify", {
      file: found.damaged,
    });
  }
  const file = new ChainFile({
    folder,
    files,
    log,
    clock: options.clock,
    bytesMax: options.fileBytesMax ?? FILE_BYTES_MAX,
    ageMsMax: options.fileAgeMsMax ?? FILE_AGE_MS_MAX,
    syncMsMax: options.syncMsMax ?? SYNC_MS_MAX,
    found: found.file,
  });
  return new AuditWriter(options, file, found.head, found.droppedBytes);
}

/** All records of one turn of the event loop; their appends share one promise. */
interface Batch {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: CofferError) => void;
  readonly firstSeq: number;
  text: string;
}

class AuditWriter implements Audit {
  readonly droppedBytes: number;
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #file: ChainFile;
  readonly #context: LineContext;
  /** The last record that is in the file. */
  #written: ChainHead;
  /** The last record that was rendered. Invariant: equals #written when there is no batch. */
  #rendered: ChainHead;
  #batch: Batch | undefined;
  #blocked: string | undefined;
  #closed = false;

  constructor(options: AuditOptions, file: ChainFile, head: ChainHead, droppedBytes: number) {
    this.#folder = options.folder;
    this.#clock = options.clock;
    this.#file = file;
    this.#context = createLineContext(options.memberId);
    this.#written = head;
    this.#rendered = head;
    this.droppedBytes = droppedBytes;
  }

  get blocked(): string | undefined {
    return this.#blocked ?? this.#file.syncFailure;
  }

  get head(): ChainHead {
    return this.#written;
  }

  append(event: AuditEvent): Promise<void> {
    if (this.#closed) return Promise.reject(blockedError("the audit log is closed"));
    const batch = (this.#batch ??= this.#openBatch());
    const next = renderLine(this.#context, event, this.#clock.now(), this.#rendered);
    batch.text += `${next.line}\n`;
    this.#rendered = { seq: next.seq, hash: next.hash };
    return batch.promise;
  }

  tail(query: AuditTailQuery): Promise<readonly string[]> {
    this.#flush();
    return tailOf(this.#folder, query);
  }

  async sync(): Promise<void> {
    this.#flush();
    await this.#file.sync();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    await this.#file.close();
  }

  #openBatch(): Batch {
    let resolve: () => void = () => undefined;
    let reject: (error: CofferError) => void = () => undefined;
    const promise = new Promise<void>((done, failed) => {
      resolve = done;
      reject = failed;
    });
    // After all callbacks of this poll phase, so that what arrived together is written together.
    setImmediate(() => this.#flush());
    return { promise, resolve, reject, firstSeq: this.#rendered.seq + 1, text: "" };
  }

  #flush(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    try {
      this.#file.append(batch.text, batch.firstSeq);
    } catch (error) {
      this.#blocked = error instanceof Error ? error.message : "the file cannot be written";
      this.#rendered = this.#written;
      batch.reject(blockedError(this.#blocked));
      return;
    }
    this.#blocked = undefined;
    this.#written = this.#rendered;
    batch.resolve();
  }
}

function blockedError(reason: string): CofferError {
  return new CofferError("audit-blocked", undefined, { cause: reason });
}
