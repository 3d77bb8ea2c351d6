import type { Clock } from "../stdx/mod.ts";
import type { AuditNotices } from "./chain-file.ts";
import { type Destination, type SinkTarget, openDestination, settleMsOf } from "./destination.ts";
import { type LogPosition, readNewer } from "./log-reader.ts";
import type { Audit } from "./open-audit.ts";
import { seqOf } from "./record.ts";
import { type SinkCursor, readCursor, writeCursor } from "./sink-cursor.ts";

/** What a sink is about, for metrics and alarms. */
export interface SinkStatus {
  readonly name: string;
  /** Records that it has not been sent yet. */
  readonly lagRecords: number;
  /** The age of the oldest of them. */
  readonly lagSeconds: number;
  /** That is longer than it should be. */
  readonly isBehind: boolean;
}

/** Sends the records of the log to one place, behind the writer, which never waits for it. */
export interface AuditSink {
  status(): SinkStatus;
  /** Where retention must stop: the file of the first record that may have to be sent again. */
  readonly confirmed: LogPosition | undefined;
  stop(): Promise<void>;
}

export interface SinkDeps {
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: AuditNotices;
}

const BACK_OFF_MS_MIN = 500;
const BACK_OFF_MS_MAX = 30_000;
const BEHIND_MS = 60_000;
const LOOK_MS = 5000;
/** The cursor is saved at most this often, and at the stop. */
const SAVE_MS = 1000;

export async function startSink(target: SinkTarget, deps: SinkDeps): Promise<AuditSink> {
  const loop = new SinkLoop(target, deps, await readCursor(deps.audit.folder, target.name));
  const running = loop.run();
  const timer = setInterval(() => loop.look(), LOOK_MS).unref();
  return {
    status: () => loop.status(),
    get confirmed() {
      return loop.confirmed.position;
    },
    stop: async () => {
      clearInterval(timer);
      loop.stop();
      await running;
    },
  };
}

/**
 * The audit files are the spool. What was sent waits until it is settled, and the cursor on the disk
 * stands behind the last that is: after a break or a restart the rest is sent again.
 */
class SinkLoop {
  readonly #target: SinkTarget;
  readonly #deps: SinkDeps;
  readonly #settleMs: number;
  /** Sent, and not settled yet, in order. */
  #sent: { readonly cursor: SinkCursor; readonly at: number }[] = [];
  confirmed: SinkCursor;
  #saved: SinkCursor;
  #savedAt = 0;
  #next: SinkCursor;
  /** Milliseconds since the epoch of the oldest record that is not sent; undefined: all are. */
  #oldest: number | undefined;
  #isBehind = false;
  #isStopped = false;
  #wake: () => void = () => undefined;
  #problem: string | undefined;

  constructor(target: SinkTarget, deps: SinkDeps, cursor: SinkCursor) {
    this.#target = target;
    this.#deps = deps;
    this.#settleMs = settleMsOf(target);
    this.confirmed = cursor;
    this.#saved = cursor;
    this.#next = cursor;
  }

  async run(): Promise<void> {
    const end = this.#deps.audit.onWritten(() => this.#wake());
    let backOffMs = BACK_OFF_MS_MIN;
    try {
      while (!this.#isStopped) {
        try {
          const destination = await openDestination(this.#target);
          this.#tellConnected();
          await this.#drain(destination, () => (backOffMs = BACK_OFF_MS_MIN));
        } catch (error) {
          this.#tellProblem(error);
          // Nobody knows how much of it has arrived.
          this.#sent = [];
          this.#next = this.confirmed;
          await this.#wait(backOffMs, { untilWritten: false });
          backOffMs = Math.min(backOffMs * 2, BACK_OFF_MS_MAX);
        }
      }
    } finally {
      end();
    }
    await this.#save();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  status(): SinkStatus {
    const { audit, clock } = this.#deps;
    const lagRecords = Math.max(0, audit.head.seq - this.#next.seq);
    const lagMs = lagRecords === 0 ? 0 : clock.now() - (this.#oldest ?? clock.now());
    return {
      name: this.#target.name,
      lagRecords,
      lagSeconds: Math.max(0, lagMs / 1000),
      isBehind: lagMs > BEHIND_MS,
    };
  }

  /** Raises the alarm, or takes it back. */
  look(): void {
    const { lagRecords, lagSeconds, isBehind } = this.status();
    if (isBehind === this.#isBehind) return;
    this.#isBehind = isBehind;
    const { log } = this.#deps;
    const fields = { sink: this.#target.name, records: lagRecords, seconds: lagSeconds };
    if (isBehind) log.warn("An audit sink is behind", { ...fields, reason: this.#problem });
    else log.info("An audit sink has caught up", fields);
  }

  /** Sends what is there and what comes, until it is stopped or the destination fails. */
  async #drain(destination: Destination, onSent: () => void): Promise<void> {
    let isClosed = false;
    try {
      while (!this.#isStopped) {
        if (destination.broken !== undefined) throw new Error(destination.broken);
        this.#settle();
        await this.#saveNowAndThen();
        const { lines, next } = await this.#read();
        if (lines.length === 0) {
          this.#next = { ...this.#next, position: next };
          this.#oldest = undefined;
          await this.#wait(this.#settleInMs(), { untilWritten: true });
          continue;
        }
        this.#oldest = timeOf(lines[0]);
        // A stop does not wait for a receiver that does not read.
        const isSent = await Promise.race([
          destination.send(lines).then(() => true),
          this.#stopped().then(() => false),
        ]);
        if (!isSent) break;
        onSent();
        this.#next = { position: next, seq: seqOf(lines.at(-1) ?? "") };
        this.#sent.push({ cursor: this.#next, at: this.#deps.clock.now() });
      }
      isClosed = true;
      if (await destination.close()) this.#settleAll();
    } finally {
      if (!isClosed) await destination.close().catch(() => false);
    }
  }

  async #read(): Promise<{
    readonly lines: readonly string[];
    readonly next: LogPosition | undefined;
  }> {
    const { audit, log } = this.#deps;
    const { head } = audit;
    const slice = await readNewer(await audit.files(), this.#next.position);
    const lines: string[] = [];
    let next = slice.from ?? this.#next.position;
    for (const { text, next: after } of slice.lines) {
      const seq = seqOf(text);
      if (seq > head.seq) break;
      next = after;
      // What a stranger put there is no record, and is for verify to name.
      if (seq === 0) continue;
      const expected = this.#next.seq + lines.length + 1;
      if (lines.length === 0 && expected > 1 && seq > expected) {
        log.error("An audit sink does not get records that are gone from the log", {
          sink: this.#target.name,
          records: `${expected} to ${seq - 1}`,
        });
      }
      lines.push(text);
    }
    if (slice.lines.length === 0) next = slice.next ?? next;
    return { lines, next };
  }

  #settle(): void {
    const now = this.#deps.clock.now();
    while (this.#sent[0] !== undefined && now - this.#sent[0].at >= this.#settleMs) {
      this.confirmed = this.#sent[0].cursor;
      this.#sent.shift();
    }
  }

  #settleAll(): void {
    this.confirmed = this.#sent.at(-1)?.cursor ?? this.confirmed;
    this.#sent = [];
  }

  #settleInMs(): number {
    const first = this.#sent[0];
    if (first !== undefined) {
      return Math.max(1, first.at + this.#settleMs - this.#deps.clock.now());
    }
    return this.#saved === this.confirmed ? LOOK_MS : SAVE_MS;
  }

  async #saveNowAndThen(): Promise<void> {
    const now = this.#deps.clock.now();
    if (this.#saved !== this.confirmed && now - this.#savedAt >= SAVE_MS) await this.#save();
  }

  async #save(): Promise<void> {
    if (this.#saved === this.confirmed) return;
    const cursor = this.confirmed;
    this.#savedAt = this.#deps.clock.now();
    try {
      await writeCursor(this.#deps.audit.folder, this.#target.name, cursor);
      this.#saved = cursor;
    } catch (error) {
      this.#deps.log.warn("The place of an audit sink was not noted; it will get records twice", {
        sink: this.#target.name,
        error,
      });
    }
  }

  /** Until something was written, if that is wanted, or the time is over, or it is stopped. */
  async #wait(ms: number, { untilWritten }: { readonly untilWritten: boolean }): Promise<void> {
    if (this.#isStopped) return;
    if (untilWritten && this.#deps.audit.head.seq > this.#next.seq) {
      // Written while the files were read; or lines that are there and cannot be read.
      ms = Math.min(ms, 20);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        if (!untilWritten && !this.#isStopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  #stopped(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        if (this.#isStopped) resolve();
      };
    });
  }

  #tellConnected(): void {
    if (this.#problem === undefined) return;
    this.#problem = undefined;
    this.#deps.log.info("An audit sink takes records again", { sink: this.#target.name });
  }

  #tellProblem(error: unknown): void {
    const reason = error instanceof Error ? error.message : "it failed";
    if (this.#problem === undefined) {
      this.#deps.log.warn("An audit sink does not take records, it will be tried again", {
        sink: this.#target.name,
        reason,
      });
    }
    this.#problem = reason;
  }
}

function timeOf(line: string | undefined): number | undefined {
  const time = Date.parse(line?.slice('{"time":"'.length, '{"time":"'.length + 24) ?? "");
  return Number.isNaN(time) ? undefined : time;
}
