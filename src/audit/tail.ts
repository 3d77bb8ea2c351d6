import { quoteText } from "./escape.ts";
import { linesBackwards, linesOf, listAuditFiles } from "./files.ts";
import { stat } from "node:fs/promises";

/** Which lines are wanted; "" for any. */
export interface AuditTailQuery {
  readonly limit: number;
  /** Records after this sequence number; 0: the newest. */
  readonly afterSeq: number;
  readonly subject: string;
  readonly action: string;
  readonly outcome: string;
  /** As the events carry it. */
  readonly tenant: string;
}

/** Lines that match, oldest first, at most `limit`. */
export function tailOf(folder: string, query: AuditTailQuery): Promise<readonly string[]> {
  if (query.limit <= 0) return Promise.resolve([]);
  return query.afterSeq > 0 ? after(folder, query) : newest(folder, query);
}

async function newest(folder: string, query: AuditTailQuery): Promise<readonly string[]> {
  const matches = matcherOf(query);
  const found: string[] = [];
  for (const file of (await listAuditFiles(folder)).toReversed()) {
    const { size } = await stat(file.path);
    for await (const lines of linesBackwards(file.path, size)) {
      for (const line of lines) {
        if (!matches(line)) continue;
        found.push(line);
        if (found.length === query.limit) return found.toReversed();
      }
    }
  }
  return found.toReversed();
}

async function after(folder: string, query: AuditTailQuery): Promise<readonly string[]> {
  const matches = matcherOf(query);
  const files = await listAuditFiles(folder);
  const from = files.findLastIndex((file) => file.firstSeq <= query.afterSeq + 1);
  const found: string[] = [];
  for (const file of files.slice(Math.max(from, 0))) {
    for await (const parts of linesOf(file.path)) {
      for (const { text, whole } of parts) {
        if (!whole || seqOf(text) <= query.afterSeq || !matches(text)) continue;
        found.push(text);
        if (found.length === query.limit) return found;
      }
    }
  }
  return found;
}

/**
 * Matches by the text of the fields. That is exact: a quote inside a recorded string is always
 * escaped, so `"action":"put"` with bare quotes stands only where the field is.
 */
function matcherOf(query: AuditTailQuery): (line: string) => boolean {
  const wanted = [
    ["subject", query.subject],
    ["action", query.action],
    ["outcome", query.outcome],
    ["tenant", query.tenant],
  ] as const;
  const needles = wanted
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `"${name}":${quoteText(value)}`);
  return (line) => needles.every((needle) => line.includes(needle));
}

const SEQ = /^\{"seq":(\d{1,16}),/;

function seqOf(line: string): number {
  return Number(SEQ.exec(line)?.[1] ?? 0);
}
