import { join } from "node:path";
import { ChainCheck, type Said } from "./chain-check.ts";
import { type SignedCheckpoint, decodeCheckpoint } from "./checkpoint.ts";
import { linesOf, listAuditFiles } from "./files.ts";
import { type ChainHead, type LineReading, MARK_ACTION, readLine } from "./record.ts";

/** One chain of a verdict. */
export interface VerifiedChain {
  readonly member: string;
  /** Of this tenant's records; undefined: of all records of the member. */
  readonly tenant: string | undefined;
  readonly records: number;
  /** Above 1: what was before it was removed. */
  readonly first: number;
  readonly head: ChainHead;
  /** The last record that a checkpoint names: up to it, nothing can be changed or cut. 0: none does. */
  readonly proven: number;
  /** When that checkpoint was signed: milliseconds since the epoch. */
  readonly provenTime: number | undefined;
  /** Records after it, but for those in which the member notes its place in the cluster's log. */
  readonly unsigned: number;
  /** The time of the first of those. */
  readonly unsignedSince: number | undefined;
}

export interface AuditVerdict {
  readonly ok: boolean;
  /** Good records up to the first bad line. */
  readonly records: number;
  readonly chains: readonly VerifiedChain[];
  readonly firstBad?: {
    /** The file's path; "" when there is no file at all. */
    readonly file: string;
    /** From 1. */
    readonly line: number;
    readonly reason: string;
  };
}

export interface VerifyOptions {
  /**
   * Checkpoints whose signatures the caller has checked. Only they can show that the end of a log, or all
   * of it, was cut off or written anew, and that its beginning was removed by who may.
   */
  readonly checkpoints?: readonly SignedCheckpoint[];
}

/** Verifies a member's folder of audit files offline, reading each once; names the first bad line. */
export async function verifyFolder(
  folder: string,
  options: VerifyOptions = {},
): Promise<AuditVerdict> {
  const paths = (await listAuditFiles(folder)).map(({ name }) => join(folder, name));
  return verifyFiles(paths, { ...options, isFolder: true });
}

/** Likewise an exported trail: a tenant's, or all of a member, or those of several members together. */
export function verifyExport(path: string, options: VerifyOptions = {}): Promise<AuditVerdict> {
  return verifyFiles([path], { ...options, isFolder: false });
}

/** The checkpoints that an exported trail carries, their signatures unchecked. */
export async function checkpointsIn(path: string): Promise<readonly SignedCheckpoint[]> {
  const found: SignedCheckpoint[] = [];
  for await (const parts of linesOf(path)) {
    for (const { text } of parts) {
      const checkpoint = isCheckpointLine(text) ? decodeCheckpoint(text) : undefined;
      if (checkpoint !== undefined) found.push(checkpoint);
    }
  }
  return found;
}

const isCheckpointLine = (line: string): boolean => line.startsWith('{"checkpoint":');

async function verifyFiles(
  paths: readonly string[],
  options: VerifyOptions & { readonly isFolder: boolean },
): Promise<AuditVerdict> {
  const trail = new TrailCheck(options);
  let place = { file: paths[0] ?? "", line: 0 };
  const verdict = (reason?: string): AuditVerdict => {
    const common = { ok: reason === undefined, records: trail.records, chains: trail.chains() };
    return reason === undefined ? common : { ...common, firstBad: { ...place, reason } };
  };
  for (const file of paths) {
    place = { file, line: 0 };
    for await (const parts of linesOf(file)) {
      for (const { text, whole } of parts) {
        place = { file, line: place.line + 1 };
        if (!options.isFolder && isCheckpointLine(text)) continue;
        const reason = whole ? trail.next(text) : "it is a partial line, as a crash leaves it";
        if (reason !== undefined) return verdict(reason);
      }
    }
  }
  const missing = trail.end();
  if (missing !== undefined) place = { ...place, line: place.line + 1 };
  return verdict(missing);
}

interface Chain {
  readonly member: string;
  readonly tenant: string | undefined;
  readonly check: ChainCheck;
}

/** All chains of one trail. */
class TrailCheck {
  readonly #checkpoints: readonly SignedCheckpoint[];
  readonly #isFolder: boolean;
  readonly #chains = new Map<string, Chain>();
  records = 0;

  constructor(options: VerifyOptions & { readonly isFolder: boolean }) {
    this.#checkpoints = options.checkpoints ?? [];
    this.#isFolder = options.isFolder;
  }

  next(line: string): string | undefined {
    const reading = readLine(line);
    if (!reading.ok) return reading.reason;
    const { memberId, member } = reading;
    if (this.#isFolder && member === undefined) return "it is a tenant's view of a record";
    if (member !== undefined) {
      const others = this.#isFolder && this.#chains.size > 0 && !this.#chains.has(memberId);
      if (others) return "it is another member's record";
      const { check } = this.#chainOf(memberId, undefined);
      const reason = check.next(member, member.prevHash, saidBy(reading));
      if (reason !== undefined) return reason;
    }
    const reason = this.#nextOfTenant(reading);
    if (reason !== undefined) return `${reason} (in the chain of its tenant)`;
    this.records++;
    return undefined;
  }

  end(): string | undefined {
    // Chains that checkpoints tell of and that have no record here at all. A trail need not hold all
    // tenants that there are, but one of nothing holds none that it should.
    const isEmpty = this.#chains.size === 0;
    const viewsOnly = this.#hasViewsOnly();
    for (const { member, tenant } of this.#checkpoints) {
      const isOurs = [...this.#chains.values()].some((chain) => chain.member === member);
      if (tenant === "" ? isEmpty || (isOurs && !viewsOnly) : isEmpty) {
        this.#chainOf(member, tenant === "" ? undefined : tenant);
      }
    }
    for (const { check, member } of this.#chains.values()) {
      const reason = check.end();
      if (reason !== undefined) return `member ${member}: ${reason}`;
    }
    return undefined;
  }

  chains(): readonly VerifiedChain[] {
    const all = [...this.#chains.values()].map(({ member, tenant, check }) => {
      const { records, first, head, proven, provenTime, unsigned, unsignedSince } = check;
      const signed = { proven, provenTime, unsigned, unsignedSince };
      return { member, tenant, records, first, head, ...signed };
    });
    // A member's chain covers those of its tenants.
    const whole = all.filter(({ tenant }) => tenant === undefined);
    return whole.length > 0 ? whole : all;
  }

  #hasViewsOnly(): boolean {
    const chains = [...this.#chains.values()];
    return chains.length > 0 && chains.every(({ tenant }) => tenant !== undefined);
  }

  #nextOfTenant(reading: GoodReading): string | undefined {
    const { memberId, tenant, member, ofTenant, tenantPrevHash } = reading;
    const chain = this.#chainOf(memberId, tenant, member !== undefined);
    return chain.check.next(ofTenant, tenantPrevHash, saidBy(reading));
  }

  #chainOf(member: string, tenant: string | undefined, isCovered = false): Chain {
    const name = tenant === undefined ? member : `${member} ${tenant}`;
    const known = this.#chains.get(name);
    if (known !== undefined) return known;
    // Those of no tenant are of the member's whole chain, and not of its records that reached none.
    const checkpoints =
      tenant === ""
        ? []
        : this.#checkpoints.filter((one) => one.member === member && one.tenant === (tenant ?? ""));
    // Where the member's own chain begins late, so may those of its tenants.
    const anyBegin = isCovered && (this.#chains.get(member)?.check.first ?? 1) > 1;
    const chain = { member, tenant, check: new ChainCheck({ checkpoints, anyBegin }) };
    this.#chains.set(name, chain);
    return chain;
  }
}

type GoodReading = Extract<LineReading, { ok: true }>;

/** Only the member's own records have this action: no request does. */
function saidBy({ record: { time, action } }: GoodReading): Said {
  return { time: Date.parse(String(time)), isMark: action === MARK_ACTION };
}
