import { performance } from "node:perf_hooks";
import { stat } from "node:fs/promises";
import { REQUEST_ID_MARK } from "../core/types/mod.ts";
import { quoteBytes, quoteText } from "./escape.ts";
import { type LogPosition, readNewer, readOlder } from "./log-reader.ts";
import { type AuditFile, listAuditFiles } from "./files.ts";
import { seqOf } from "./record.ts";

/** Which records are wanted; "" and 0 for any. */
export interface AuditFilter {
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
  /** All of it, or what the client called its requests: the part before REQUEST_ID_MARK. */
  readonly requestId: string;
  /** As the events carry it; undefined: of all. "" are those that reached none. */
  readonly tenant: string | undefined;
  /** Bytes, one char each, that the key begins with. */
  readonly keyPrefix: string;
  /** Milliseconds since the epoch: from the first, before the second. */
  readonly fromMs: number;
  readonly toMs: number;
}

export interface AuditQuery extends AuditFilter {
  readonly order: "newest" | "oldest";
  readonly limit: number;
  /** Where a page before it ended; undefined: the newest record, or the oldest. */
  readonly from: LogPosition | undefined;
}

export interface AuditPage {
  /** In the order asked for. */
  readonly lines: readonly string[];
  /** Where the next page begins. Defined at the end too: what is written later is after it. */
  readonly next: LogPosition | undefined;
  /** Nothing is left in this direction now. */
  readonly isDone: boolean;
  /** The end of the log as this page was begun: where newer records will be. */
  readonly end: LogPosition | undefined;
}

/** The lines of one page, in bytes, but for the last line. */
const PAGE_BYTES = 1024 * 1024;
/** How long one page may take before it is answered as far as it is, in milliseconds. */
const PAGE_MS = 1000;

/** Searches the files slice by slice, the event loop free between two. */
export async function searchLog(
  folder: string,
  query: AuditQuery,
  lastSeq: number,
): Promise<AuditPage> {
  const { order, limit } = query;
  const files = await inTime(await listAuditFiles(folder), query.fromMs);
  const last = files.at(-1);
  const end =
    last === undefined ? undefined : { file: last.name, offset: (await stat(last.path)).size };
  const matches = matcherOf(query);
  const found: string[] = [];
  let bytes = 0;
  const until = performance.now() + PAGE_MS;
  let at = query.from;
  for (;;) {
    const slice = await (order === "newest" ? readOlder : readNewer)(files, at);
    at = slice.from ?? at;
    for (const line of slice.lines) {
      if (order === "oldest" && seqOf(line.text) > lastSeq) {
        return { lines: found, next: at, isDone: true, end };
      }
      at = line.next;
      // Those past it are taken back, or were written since the search began.
      if (!matches(line.text) || seqOf(line.text) > lastSeq) continue;
      found.push(line.text);
      bytes += line.text.length;
      const isFull = found.length >= limit || bytes >= PAGE_BYTES;
      if (isFull) return { lines: found, next: at, isDone: false, end };
    }
    at = slice.next ?? at;
    if (slice.isEnd) return { lines: found, next: at, isDone: true, end };
    if (performance.now() > until) return { lines: found, next: at, isDone: false, end };
  }
}

/** The line of one record of the member's chain, from the file that should have it. */
export async function lineAt(folder: string, seq: number): Promise<string | undefined> {
  const files = await listAuditFiles(folder);
  const file = files.findLast(({ firstSeq }) => firstSeq <= seq);
  if (file === undefined) return undefined;
  for (let at: LogPosition | undefined; ;) {
    const slice = await readNewer([file], at);
    const found = slice.lines.find(({ text }) => seqOf(text) === seq);
    if (found !== undefined || slice.isEnd) return found?.text;
    at = slice.next;
  }
}

/** How far the time of a file and that of its records may be apart. */
const FILE_TIME_SLACK_MS = 60_000;

/** Without the files that were last written before `fromMs`. */
async function inTime(files: readonly AuditFile[], fromMs: number): Promise<readonly AuditFile[]> {
  if (fromMs <= 0) return files;
  for (const [i, file] of files.entries()) {
    const { mtimeMs } = await stat(file.path);
    if (mtimeMs >= fromMs - FILE_TIME_SLACK_MS) return files.slice(i);
  }
  return files.slice(-1);
}

const LINE_BEGIN = '{"time":"';
const TIME_AT = LINE_BEGIN.length;
const TIME_CHARS = "2026-01-01T00:00:00.000Z".length;

/**
 * Matches by the text of the fields. That is exact: a quote inside a recorded string is always
 * escaped, so `"action":"put"` with bare quotes stands only where the field is.
 */
export function matcherOf(filter: AuditFilter): (line: string) => boolean {
  const { tenant, requestId, keyPrefix, fromMs, toMs } = filter;
  const wanted = [
    ["subject", filter.subject],
    ["action", filter.action],
    ["outcome", filter.outcome],
  ] as const;
  const needles = wanted
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `"${name}":${quoteText(value)}`);
  if (tenant !== undefined) needles.push(`"tenant":${quoteText(tenant)}`);
  if (keyPrefix !== "") needles.push(`"key":${quoteBytes(keyPrefix).slice(0, -1)}`);
  const request = requestId === "" ? "" : `"requestId":${quoteText(requestId)}`;
  const called = request === "" ? "" : `${request.slice(0, -1)}${REQUEST_ID_MARK}`;
  const from = fromMs > 0 ? new Date(fromMs).toISOString() : "";
  const to = toMs > 0 ? new Date(toMs).toISOString() : "";
  return (line) => {
    // What a stranger put between our lines is for verify to name.
    if (!line.startsWith(LINE_BEGIN)) return false;
    if (!needles.every((needle) => line.includes(needle))) return false;
    if (!line.includes(request) && !line.includes(called)) return false;
    if (from === "" && to === "") return true;
    const time = line.slice(TIME_AT, TIME_AT + TIME_CHARS);
    return time >= from && (to === "" || time < to);
  };
}
