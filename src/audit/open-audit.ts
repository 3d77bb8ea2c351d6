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
import { type AuditFile, linesNewestFirst, listAuditFiles } from "./files.ts";
import { writeHeads } from "./heads-file.ts";
import { recoverChain, type Recovered } from "./recover.ts";
import { type AuditPage, type AuditQuery, lineAt, searchLog } from "./search.ts";
import { TenantHeads } from "./tenant-heads.ts";

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
  /** So many records could not be written; their appends are rejected. */
  readonly onFailed?: (records: number) => void;
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
  readonly folder: string;
  /** The last record that is written: what a checkpoint signs. */
  readonly head: ChainHead;
  /** Where each tenant's chain ends. */
  tenantHeads(): readonly (readonly [string, ChainHead])[];
  /** Forgets a tenant that is gone, and whose records are too. */
  forgetTenant(tenant: string): void;
  /** What was found at the start: bytes of a partial last line that were cut off. */
  readonly droppedBytes: number;
  /** How many files were begun since the start. */
  readonly filesBegun: number;
  /** The files in chain order; the last one may still grow. */
  files(): Promise<readonly AuditFile[]>;
  /** One page of the records that match. */
  search(query: AuditQuery): Promise<AuditPage>;
  /** All lines, the newest first. */
  newest(): AsyncIterable<string>;
  /** The line of a record of the member's chain; undefined if no file has it. */
  lineAt(seq: number): Promise<string | undefined>;
  /** Calls back after so many records were written; returns what ends it. */
  onWritten(listener: (records: number) => void): () => void;
  /**
   * Goes on where a log ended that is not here any more, before anything was recorded. False, and nothing
   * changes, if there are records here.
   */
  resume(head: ChainHead, tenants: Iterable<readonly [string, ChainHead]>): boolean;
  /** Writes what waits, and waits for the disk. */
  sync(): Promise<void>;
  /** `sync`, and notes the heads of the chains for the next start. */
  saveHeads(): Promise<void>;
  /** Ends with `saveHeads`. */
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
  tell(log, found);
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
  return new AuditWriter(options, file, found);
}

function tell(log: AuditNotices, { droppedBytes, damaged, scanned }: Recovered): void {
  if (droppedBytes > 0) {
    log.warn("Cut off a partial last line of the audit log, as a crash leaves it", {
      bytes: droppedBytes,
    });
  }
  if (damaged !== undefined) {
    log.error("The end of the audit log was changed; run coffer audit verify", { file: damaged });
  }
  if (scanned !== undefined) {
    log.warn("All of the audit log was read for where the tenants' records end", {
      reason: scanned,
    });
  }
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
  readonly folder: string;
  readonly #clock: Clock;
  readonly #log: AuditNotices;
  readonly #file: ChainFile;
  readonly #context: LineContext;
  readonly #tenants = new TenantHeads();
  readonly #listeners = new Set<(records: number) => void>();
  readonly #onFailed: AuditOptions["onFailed"];
  /** The last record that is in the file. */
  #written: ChainHead;
  /** The last record that was rendered. Invariant: equals #written when there is no batch. */
  #rendered: ChainHead;
  #batch: Batch | undefined;
  #blocked: string | undefined;
  #closed = false;

  constructor(options: AuditOptions, file: ChainFile, found: Recovered) {
    this.folder = options.folder;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onFailed = options.onFailed;
    this.#file = file;
    this.#context = createLineContext(options.memberId);
    this.#written = found.head;
    this.#rendered = found.head;
    this.#tenants.adopt(found.tenants);
    this.droppedBytes = found.droppedBytes;
  }

  get blocked(): string | undefined {
    return this.#blocked ?? this.#file.syncFailure;
  }

  get head(): ChainHead {
    return this.#written;
  }

  get filesBegun(): number {
    return this.#file.filesBegun;
  }

  append(event: AuditEvent): Promise<void> {
    if (this.#closed) return Promise.reject(blockedError("the audit log is closed"));
    const batch = (this.#batch ??= this.#openBatch());
    const { tenant } = event;
    const place = { member: this.#rendered, ofTenant: this.#tenants.get(tenant) };
    const { line, member, ofTenant } = renderLine(this.#context, event, this.#clock.now(), place);
    batch.text += `${line}\n`;
    this.#rendered = member;
    this.#tenants.advance(tenant, ofTenant);
    return batch.promise;
  }

  tenantHeads(): readonly (readonly [string, ChainHead])[] {
    this.#flush();
    return this.#tenants.entries();
  }

  forgetTenant(tenant: string): void {
    this.#tenants.forget(tenant);
  }

  files(): Promise<readonly AuditFile[]> {
    return listAuditFiles(this.folder);
  }

  search(query: AuditQuery): Promise<AuditPage> {
    this.#flush();
    // What is in the file past it may be a write that failed and is taken back.
    return searchLog(this.folder, query, this.#written.seq);
  }

  newest(): AsyncIterable<string> {
    this.#flush();
    return linesNewestFirst(this.folder);
  }

  lineAt(seq: number): Promise<string | undefined> {
    this.#flush();
    return lineAt(this.folder, seq);
  }

  onWritten(listener: (records: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  resume(head: ChainHead, tenants: Iterable<readonly [string, ChainHead]>): boolean {
    this.#flush();
    if (this.#written.seq > 0 || this.#closed) return false;
    this.#written = head;
    this.#rendered = head;
    this.#tenants.adopt(tenants);
    return true;
  }

  async sync(): Promise<void> {
    this.#flush();
    await this.#file.sync();
  }

  async saveHeads(): Promise<void> {
    await this.sync();
    this.#flush();
    const heads = { at: this.#written, tenants: this.#tenants.entries() };
    try {
      await writeHeads(this.folder, heads);
    } catch (error) {
      this.#log.warn("The heads of the audit log were not noted; a start takes longer", { error });
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    await this.#file.close();
    await this.saveHeads();
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
    const records = this.#rendered.seq - this.#written.seq;
    try {
      this.#file.append(batch.text, batch.firstSeq);
    } catch (error) {
      this.#blocked = error instanceof Error ? error.message : "the file cannot be written";
      this.#rendered = this.#written;
      this.#tenants.undo();
      batch.reject(blockedError(this.#blocked));
      this.#onFailed?.(records);
      return;
    }
    this.#blocked = undefined;
    this.#written = this.#rendered;
    this.#tenants.keep();
    batch.resolve();
    for (const listener of this.#listeners) listener(records);
  }
}

function blockedError(reason: string): CofferError {
  return new CofferError("audit-blocked", undefined, { cause: reason });
}
