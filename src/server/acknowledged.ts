import { type Audit, type AuditQuery, MARK_ACTION } from "../audit/mod.ts";
import { CLUSTER_SCOPE, type StateReader, type TenantId } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Logger } from "../telemetry/mod.ts";
import { processClock } from "./clock.ts";
import { memberEvent } from "./member-event.ts";

/**
 * Notices data files that were put back to an older state. A raft.db or state.db of yesterday is whole
 * and consistent in itself, so nothing inside them can tell; the audit log beside them can, since every
 * reply is recorded there with the revisions it was given at, after what it tells of was on the disk.
 * Marks with the log's index, written every few seconds, bound how much of it is read at a start.
 *
 * Who also puts back or cuts the audit log is noticed by the checkpoints that the other members have of
 * it (audit-evidence.ts); a member alone has none but its own. And one who edits it can only cause a
 * refusal.
 */

const MARK_KEY = /^index:(\d{1,16})$/;
const MARK_MS = 5000;
/** Entries after which a mark does not wait: what recovery needs is to be in the log still. */
const MARK_ENTRIES = 400;
const LOOK_MS = 250;
/** Records after the last mark that are looked at: some seconds of a loaded member. */
const RECORDS_MAX = 50_000;

export interface AcknowledgedDeps {
  readonly audit: Audit;
  readonly dataDir: string;
  readonly log: Logger;
}

/**
 * Throws `corrupt`, and records it, if the audit log proves that raft.db has ended further on. Before
 * the member takes part: what it has forgotten could be what others count on.
 */
export async function refuseOlderLog(deps: AcknowledgedDeps, lastIndex: number): Promise<void> {
  const { index } = await lastMark(deps.audit);
  if (index > lastIndex) {
    await refuseOlder(deps, `the audit log knows log entry ${index}, raft.db ends at ${lastIndex}`);
  }
}

/**
 * Throws `corrupt`, and records it, if the audit log proves that the state has been at later revisions.
 * Once all that was acknowledged is applied here, and before any of it is served.
 */
export async function refuseOlderState(
  deps: AcknowledgedDeps,
  found: { readonly state: StateReader; readonly isAlone: boolean },
): Promise<void> {
  const problem = await findProblem(deps.audit, found);
  if (problem !== undefined) await refuseOlder(deps, problem);
}

async function refuseOlder(deps: AcknowledgedDeps, problem: string): Promise<void> {
  await refuse(
    deps,
    `it is older than what this member has acknowledged: ${problem}. Put the newest raft.db and ` +
      "state.db back; or, to go on with the loss, move the folder audit away, which is the evidence " +
      "of it",
  );
}

/**
 * Throws `corrupt`, and records it, if state.db cannot be of the same time as raft.db. One that is
 * older is made good by replay, as long as the log reaches back to it.
 */
export async function refuseMixedFiles(
  deps: AcknowledgedDeps,
  log: { readonly firstIndex: number; readonly lastIndex: number },
  appliedIndex: number,
): Promise<void> {
  const next = "put the newest of both back";
  if (appliedIndex > log.lastIndex) {
    const text = `state.db has log entry ${appliedIndex} in it, raft.db ends at ${log.lastIndex}`;
    await refuse(deps, `it holds files of different times: ${text}; ${next}`);
  }
  if (appliedIndex < log.firstIndex - 1) {
    const text = `state.db ends at log entry ${appliedIndex}, raft.db begins at ${log.firstIndex}`;
    await refuse(deps, `it holds files of different times: ${text}; ${next}`);
  }
}

/** Throws `corrupt`, and records it. */
export async function refuse(deps: AcknowledgedDeps, reason: string): Promise<never> {
  deps.log.error("The data folder is not served", { folder: deps.dataDir, reason });
  await deps.audit.append(memberEvent({ action: "start", outcome: "refused", reason }));
  throw new CofferError("corrupt", `"${deps.dataDir}" is not served: ${reason}`);
}

/** A mark: the log's index that was applied then, and its place among the records. */
export interface LogMark {
  readonly index: number;
  readonly seq: number;
}

/** The newest marks, the newest first. */
export async function newestMarks(audit: Audit, limit: number): Promise<readonly LogMark[]> {
  const lines = await newest(audit, { action: MARK_ACTION }, limit);
  return lines.map((line) => {
    const mark = readRecord(line);
    return { index: Number(MARK_KEY.exec(mark?.key ?? "")?.[1] ?? 0), seq: mark?.seq ?? 0 };
  });
}

async function lastMark(audit: Audit): Promise<LogMark> {
  return (await newestMarks(audit, 1))[0] ?? { index: 0, seq: 0 };
}

/** The newest records that match, the newest first. */
export async function newest(
  audit: Audit,
  filter: Partial<AuditQuery>,
  limit: number,
): Promise<readonly string[]> {
  const found: string[] = [];
  let from: AuditQuery["from"];
  while (found.length < limit) {
    const query = { ...ANY, ...filter, limit: limit - found.length, from };
    const page = await audit.search(query);
    found.push(...page.lines);
    if (page.isDone) break;
    from = page.next;
  }
  return found;
}

const ANY: AuditQuery = {
  order: "newest",
  limit: 1,
  from: undefined,
  subject: "",
  action: "",
  outcome: "",
  requestId: "",
  tenant: undefined,
  keyPrefix: "",
  fromMs: 0,
  toMs: 0,
};

async function findProblem(
  audit: Audit,
  { state, isAlone }: { readonly state: StateReader; readonly isAlone: boolean },
): Promise<string | undefined> {
  const limit = Math.min(audit.head.seq - (await lastMark(audit)).seq, RECORDS_MAX);
  const known = revisionsOf(await newest(audit, {}, limit));
  // What is not in the state of a majority was deleted through another member.
  const lost = isAlone ? [...known.keys()].find((id) => isLost(state, id as TenantId)) : undefined;
  // A record holds the name of a tenant that was deleted and not its id, and a slow read of it may be
  // recorded after its end. So once any was deleted, only the marks can tell.
  if (lost !== undefined && !(await wasAnyDeleted(audit))) {
    return `tenant ${lost} is in the audit log and not in the data`;
  }
  return findOlder(known, state);
}

async function wasAnyDeleted(audit: Audit): Promise<boolean> {
  const deleted = { action: "tenant-delete", outcome: "ok" };
  return (await newest(audit, deleted, 1)).length > 0;
}

function isLost(state: StateReader, id: TenantId): boolean {
  return id !== CLUSTER_SCOPE && state.tenant(id) === undefined;
}

interface Revisions {
  revision: number;
  policyRevision: number;
}

/** The newest that each scope's records tell of. */
function revisionsOf(lines: readonly string[]): ReadonlyMap<string, Revisions> {
  const known = new Map<string, Revisions>();
  for (const line of lines) {
    const record = readRecord(line);
    if (record?.outcome !== "ok" || record.tenant === "") continue;
    const seen = known.get(record.tenant) ?? { revision: 0, policyRevision: 0 };
    seen.revision = Math.max(seen.revision, record.revision);
    seen.policyRevision = Math.max(seen.policyRevision, record.policyRevision);
    known.set(record.tenant, seen);
  }
  return known;
}

function findOlder(known: ReadonlyMap<string, Revisions>, state: StateReader): string | undefined {
  for (const [id, seen] of known) {
    const scope = id as TenantId;
    if (isLost(state, scope)) continue;
    const revision = state.tenant(scope)?.revision;
    if (revision !== undefined && seen.revision > revision) {
      return `tenant ${id} was at revision ${seen.revision} and is at ${revision}`;
    }
    const policy = state.policyRevision(scope);
    if (seen.policyRevision > policy) {
      return `the policy of ${id} was at revision ${seen.policyRevision} and is at ${policy}`;
    }
  }
  return undefined;
}

interface MarkedRecord extends Revisions {
  readonly seq: number;
  readonly tenant: string;
  readonly action: string;
  readonly key: string;
  readonly outcome: string;
}

/** Undefined for a line that is none of ours; `coffer audit verify` is who judges those. */
function readRecord(line: string): MarkedRecord | undefined {
  try {
    return JSON.parse(line) as MarkedRecord;
  } catch {
    return undefined;
  }
}

export interface Marks {
  /** Records that were marks. */
  readonly written: number;
  stop(): Promise<void>;
}

/** Writes marks while the member runs, and the last one when it stops. */
export function keepMarks({ audit, log }: AcknowledgedDeps, appliedIndex: () => number): Marks {
  let marked = 0;
  let markedAt = 0;
  let written = 0;
  const mark = async (): Promise<void> => {
    const index = appliedIndex();
    if (index === marked) return;
    marked = index;
    markedAt = processClock.now();
    try {
      await audit.append(memberEvent({ action: MARK_ACTION, key: `index:${index}` }));
      written++;
    } catch (cause) {
      log.warn("The place in the log was not recorded, it will be with the next", { cause });
    }
  };
  const look = (): void => {
    const isLate = processClock.now() - markedAt >= MARK_MS;
    if (isLate || appliedIndex() - marked >= MARK_ENTRIES) void mark();
  };
  const timer = setInterval(look, LOOK_MS).unref();
  // A boundary: nothing of the time before is under way.
  void mark();
  return {
    get written() {
      return written;
    },
    stop: async () => {
      clearInterval(timer);
      await mark();
    },
  };
}
