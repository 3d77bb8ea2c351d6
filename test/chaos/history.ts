import { closeSync, createReadStream, fsyncSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

/**
 * The record of a run: JSON lines, written as things happen, in the order of one monotonic clock.
 *
 * The KV part has the form that other checkers read (Jepsen's, as Knossos and Porcupine take it):
 *
 *     {"process":3,"type":"invoke","f":"write","key":"k1","value":"v17","time":1200345}
 *     {"process":3,"type":"ok","f":"write","key":"k1","value":"v17","time":1900345,"rev":12}
 *
 * `time` is in nanoseconds since the start of the run. `type` is "fail" only where the error proves
 * that nothing happened, "info" where the outcome is unknown; a process ends with its "info". `f`:
 *
 * | f      | value of invoke                    | value of ok                               |
 * |--------|------------------------------------|-------------------------------------------|
 * | read   | null                               | the value, or null                        |
 * | write  | the value                          | the same; `prev` if it was asked for      |
 * | delete | null                               | null; `prev` is what it removed           |
 * | cas    | [old, new]; old null: is not there | the same; "fail" with `prev`: what it met |
 * | txn    | a TxnValue                         | the same with what it read and chose      |
 *
 * `key` of a txn is its keys with commas between. `rev` is the revision in the header of the reply:
 * that of the write, or the one that was read at. No value is written twice in a run.
 *
 * Lines beside the KV part have other words in `f`, so a reader that knows five words leaves them out:
 *
 * - "serializable-read": a read that may be old; lines as those of a read.
 * - "watch-start", "watch-created", "watch-events", "watch-progress", "watch-end": see WatchLine.
 * - "lease-grant", "lease-put", "lease-renew": see LeaseLine. Lease keys go by expiry, never by a
 *   delete, so their puts are no "write".
 * - "process":"nemesis": faults as they come and go; "process":"checker": what each member holds at the
 *   end, when all faults are healed (see FinalLine and FinalEventsLine).
 */
export type HistoryLine =
  OpLine | WatchLine | LeaseLine | NemesisLine | FinalLine | FinalEventsLine;

export type LineType = "invoke" | "ok" | "fail" | "info";

export interface LineBase {
  readonly process: number;
  readonly type: LineType;
  /** Nanoseconds since the run began. */
  readonly time: number;
  /** Revision of the reply's header. */
  readonly rev?: number | undefined;
  /** Which member was asked. */
  readonly member?: string | undefined;
  readonly error?: string | undefined;
}

/** A key as a reply shows it; absent fields were not told. */
export interface KeyState {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
}

export type OpName = "read" | "write" | "cas" | "txn" | "delete" | "serializable-read";

interface OpBase extends LineBase {
  readonly key: string;
}

export interface ReadLine extends OpBase {
  readonly f: "read" | "serializable-read";
  readonly value: string | null;
  readonly kv?: KeyState | undefined;
}

export interface WriteLine extends OpBase {
  readonly f: "write" | "delete";
  readonly value: string | null;
  /** What was there before; null: nothing. Absent if it was not asked for. */
  readonly prev?: string | null | undefined;
}

export interface CasLine extends OpBase {
  readonly f: "cas";
  readonly value: readonly [string | null, string];
  /** Whether the server compared the value or the revision that it was read at. */
  readonly by: "value" | "mod";
  /** With "fail": the value that was there instead. */
  readonly prev?: string | null | undefined;
}

/** ["r", key, value read], ["w", key, value], ["d", key, value removed]; null: nothing there. */
export type MicroOp = readonly ["r" | "w" | "d", string, string | null];

export interface TxnValue {
  /** Compares: each key must have the value; null: must not be there. */
  readonly compare: readonly (readonly [string, string | null])[];
  readonly success: readonly MicroOp[];
  readonly failure: readonly MicroOp[];
  readonly succeeded?: boolean | undefined;
}

export interface TxnLine extends OpBase {
  readonly f: "txn";
  readonly value: TxnValue;
}

export type OpLine = ReadLine | WriteLine | CasLine | TxnLine;

/** `prev`: what was there before; null: nothing; absent: not told. */
export interface WatchedEvent {
  readonly type: "put" | "delete";
  readonly kv: KeyState;
  readonly prev?: KeyState | null | undefined;
}

/** What one watch asked for. `session` stays the same when it begins again where it broke. */
export interface WatchSpec {
  readonly session: string;
  readonly key: string;
  /** "": the one key. */
  readonly rangeEnd: string;
  /** 0: from now on. */
  readonly start: number;
  readonly prevKv: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
}

/**
 * `type` is "invoke" for watch-start, else "ok". One line is one message of the server, so that events
 * of one revision that come apart can be seen to.
 */
export type WatchLine = LineBase &
  (
    | ({ readonly f: "watch-start" } & WatchSpec)
    | { readonly f: "watch-created"; readonly session: string }
    | {
        readonly f: "watch-events";
        readonly session: string;
        readonly events: readonly WatchedEvent[];
      }
    | { readonly f: "watch-progress"; readonly session: string }
    | {
        readonly f: "watch-end";
        readonly session: string;
        /** The client wanted no more. Otherwise the stream broke, and the session goes on. */
        readonly deliberate?: boolean | undefined;
      }
  );

export interface LeaseLine extends LineBase {
  readonly f: "lease-grant" | "lease-put" | "lease-renew";
  readonly lease: string;
  /** Seconds; with "ok" what the server gave. 0 in the reply of a renewal: the lease is gone. */
  readonly ttl?: number | undefined;
  /** Of lease-put. */
  readonly key?: string | undefined;
  readonly value?: string | undefined;
}

export interface NemesisLine {
  readonly process: "nemesis";
  readonly type: "info";
  /** The kind of fault, or "heal". */
  readonly f: string;
  readonly value: unknown;
  readonly time: number;
}

/** What one member holds when all is healed. */
export interface FinalLine {
  readonly process: "checker";
  readonly type: "ok" | "fail";
  readonly f: "final";
  readonly member: string;
  readonly time: number;
  readonly rev: number;
  readonly error?: string | undefined;
  /** SHA-256 over the events of its whole history up to `rev`. */
  readonly digest: string;
  /** Maintenance.HashKV at `rev`; absent where the member does not offer it. */
  readonly hash?: number | undefined;
  readonly kvs: readonly KeyState[];
}

/** A piece of the history up to the revision of its member's FinalLine, in order; of one member only. */
export interface FinalEventsLine {
  readonly process: "checker";
  readonly type: "ok";
  readonly f: "final-events";
  readonly member: string;
  readonly time: number;
  readonly events: readonly WatchedEvent[];
}

export interface HistoryWriter {
  /** Nanoseconds since the run began. */
  now(): number;
  append(line: HistoryLine): void;
  close(): void;
}

const BUFFER_CHARS = 64 * 1024;
const FLUSH_MS = 200;

/** Writes to `path`, anew. At most `FLUSH_MS` of a run are lost if this process is killed. */
export function createHistoryWriter(path: string): HistoryWriter {
  const file = openSync(path, "w");
  const began = process.hrtime.bigint();
  let buffer: string[] = [];
  let chars = 0;
  let closed = false;
  const flush = (): void => {
    if (buffer.length === 0) return;
    const bytes = Buffer.from(buffer.join(""));
    buffer = [];
    chars = 0;
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  };
  const timer = setInterval(flush, FLUSH_MS).unref();
  return {
    now: () => Number(process.hrtime.bigint() - began),
    append: (line) => {
      if (closed) return; // A straggler of a run that is over.
      const text = `${JSON.stringify(line)}\n`;
      buffer.push(text);
      chars += text.length;
      if (chars >= BUFFER_CHARS) flush();
    },
    close: () => {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      flush();
      fsyncSync(file);
      closeSync(file);
    },
  };
}

/** The lines of a history file. Throws on a line that is no JSON. */
export async function readHistory(path: string): Promise<readonly HistoryLine[]> {
  const lines: HistoryLine[] = [];
  for await (const text of createInterface({ input: createReadStream(path) })) {
    if (text !== "") lines.push(JSON.parse(text) as HistoryLine);
  }
  return lines;
}

const OP_NAMES: ReadonlySet<string> = new Set<OpName>([
  "read",
  "write",
  "cas",
  "txn",
  "delete",
  "serializable-read",
]);

export function isOp(line: HistoryLine): line is OpLine {
  return OP_NAMES.has(line.f);
}

export function isWatch(line: HistoryLine): line is WatchLine {
  return line.f.startsWith("watch-");
}

export function isLease(line: HistoryLine): line is LeaseLine {
  return line.f.startsWith("lease-");
}

export function isFinalEvents(line: HistoryLine): line is FinalEventsLine {
  return line.f === "final-events";
}

export function isNemesis(line: HistoryLine): line is NemesisLine {
  return line.process === "nemesis";
}

export function isFinal(line: HistoryLine): line is FinalLine {
  return line.f === "final";
}
