import { linesOf, listAuditFiles } from "./files.ts";
import { type ChainHead, GENESIS, readLine } from "./record.ts";

export interface AuditVerdict {
  readonly ok: boolean;
  /** Good records up to the first bad line. */
  readonly records: number;
  /** Names of the files, in chain order. */
  readonly files: readonly string[];
  /** The last good record; undefined if there is none. */
  readonly head: ChainHead | undefined;
  readonly firstBad?: {
    /** The file's name; "" when there is no file at all. */
    readonly file: string;
    /** From 1. */
    readonly line: number;
    readonly reason: string;
  };
}

export interface VerifyOptions {
  /**
   * Checkpoints kept elsewhere, whose signatures the caller has checked. Only they can show that
   * the end of a log, or all of it, was cut off or written anew.
   */
  readonly expectedHeads?: readonly ChainHead[];
  /** What the first record follows, when older files were archived. Default: nothing. */
  readonly from?: ChainHead;
}

/** Verifies a folder of audit files offline, reading each once; names the first bad line. */
export async function verifyAudit(
  folder: string,
  options: VerifyOptions = {},
): Promise<AuditVerdict> {
  const files = await listAuditFiles(folder);
  const names = files.map(({ name }) => name);
  const check = createChainCheck(options);
  let place = { file: names[0] ?? "", line: 0 };
  const verdict = (reason?: string): AuditVerdict => {
    const { records, head } = check;
    const common = { ok: reason === undefined, records, files: names, head };
    return reason === undefined ? common : { ...common, firstBad: { ...place, reason } };
  };
  for (const file of files) {
    place = { file: file.name, line: 0 };
    for await (const parts of linesOf(file.path)) {
      for (const { text, whole } of parts) {
        place = { file: file.name, line: place.line + 1 };
        const reason = whole ? check.next(text) : "it is a partial line, as a crash leaves it";
        if (reason !== undefined) return verdict(reason);
      }
    }
  }
  const missing = check.end();
  if (missing !== undefined) place = { ...place, line: place.line + 1 };
  return verdict(missing);
}

interface ChainCheck {
  readonly records: number;
  readonly head: ChainHead | undefined;
  /** Takes the next line; the reason why it is bad. */
  next(line: string): string | undefined;
  end(): string | undefined;
}

function createChainCheck(options: VerifyOptions): ChainCheck {
  let head = options.from ?? GENESIS;
  let records = 0;
  let memberId: string | undefined;
  const expected = new Map((options.expectedHeads ?? []).map(({ seq, hash }) => [seq, hash]));
  return {
    get records() {
      return records;
    },
    get head() {
      return records === 0 ? undefined : head;
    },
    next(line) {
      const reading = readLine(line);
      if (!reading.ok) return reading.reason;
      const { seq, hash } = reading.head;
      const wanted = head.seq + 1;
      if (seq > wanted) return `records ${wanted} to ${seq - 1} before it are missing`;
      if (seq < wanted) return `it is out of order: record ${seq} where ${wanted} should be`;
      if (reading.prevHash !== head.hash) {
        return "it does not follow the record before it, which was edited or replaced";
      }
      if (memberId !== undefined && reading.member !== memberId) {
        return "it is another member's record";
      }
      const checkpoint = expected.get(seq);
      if (checkpoint !== undefined && checkpoint !== hash) {
        return `it is not the record ${seq} that the checkpoint signed`;
      }
      memberId = reading.member;
      expected.delete(seq);
      head = reading.head;
      records++;
      return undefined;
    },
    end() {
      const lost = [...expected.keys()].find((seq) => seq > head.seq);
      if (lost === undefined) return undefined;
      return `the log ends at record ${head.seq}, but a checkpoint signed record ${lost}`;
    },
  };
}
