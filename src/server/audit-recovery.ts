import { type Audit, type AuditEvent, readLine } from "../audit/mod.ts";
import {
  type Key,
  type MemberId,
  type Proposal,
  type StateReader,
  type TxnRequest,
  key,
} from "../core/types/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { decodeBatch } from "../wire/mod.ts";
import { newestMarks } from "./acknowledged.ts";
import { memberEvent } from "./member-event.ts";

/** The entries of the log as this needs them; a RaftLog fits. */
export interface RecoveryLog {
  readonly firstIndex: number;
  entries(
    lo: number,
    hi: number,
    bytesMax: number,
  ): readonly {
    readonly index: number;
    readonly kind: "normal" | "conf-change";
    readonly data: Uint8Array;
  }[];
}

export interface RecoveryDeps {
  readonly audit: Audit;
  readonly log: Logger;
  readonly raftLog: RecoveryLog;
  readonly state: StateReader;
  readonly memberId: MemberId;
}

const SLICE_BYTES = 1024 * 1024;

/**
 * A write's record rides in its log entry: who asked for it, and what. A member that is killed between
 * the commit of a write and its audit record makes the record at the next start, from the entries that it
 * proposed itself and that no record tells of. Which those are is told by the request id, which is no
 * other request's (api/grpc/metadata.ts). The marks bound how far back it looks. Before anything is served.
 */
export async function recoverRecords(deps: RecoveryDeps, appliedIndex: number): Promise<void> {
  const { audit, log, raftLog } = deps;
  // A record may come a moment after the mark that has its entry, and not after the one behind that.
  const [newest, since = newest] = await newestMarks(audit, 2);
  // Each start makes one: without any, this is another log than the one that could tell.
  if (since === undefined || since.index >= appliedIndex) return;
  const missing = await unrecorded(deps, since, appliedIndex);
  for (const lost of missing) await appendAll(audit, eventsOf(deps.state, lost));
  if (missing.length > 0) {
    log.warn("Audit records of writes that a crash cut short were made", { count: missing.length });
  }
  if (since.index + 1 < raftLog.firstIndex) {
    const gap = `entries:${since.index + 1}-${raftLog.firstIndex - 1}`;
    const reason = "log entries are gone in which writes without a record could be";
    const event = { action: "audit-recovery", key: gap, outcome: "failed", reason } as const;
    await audit.append(memberEvent(event));
  }
}

/** The last proposal of a request: those before it were refused, as policy or the keys had moved. */
interface Proposed {
  readonly proposal: Proposal;
  /** Of its log entry. */
  readonly index: number;
}

async function unrecorded(
  { audit, raftLog, memberId }: RecoveryDeps,
  since: { readonly index: number; readonly seq: number },
  appliedIndex: number,
): Promise<readonly Proposed[]> {
  const found = new Map<string, Proposed>();
  let at = Math.max(since.index + 1, raftLog.firstIndex);
  while (at <= appliedIndex) {
    const entries = raftLog.entries(at, appliedIndex + 1, SLICE_BYTES);
    for (const { index, kind, data } of entries) {
      at = index + 1;
      if (kind !== "normal" || data.length === 0) continue;
      const { header, proposals } = decodeBatch(data);
      if (header.origin !== memberId) continue;
      for (const proposal of proposals) {
        // What the cluster does by itself has no request. A renewal changes no data.
        const { actor, command } = proposal;
        if (actor.requestId === "" || command.kind === "lease-renew") continue;
        found.set(actor.requestId, { proposal, index });
      }
    }
    if (entries.length === 0) break;
  }
  if (found.size > 0) await forRecordsAfter(audit, since.seq, (line) => forget(found, line));
  return [...found.values()];
}

async function forRecordsAfter(
  audit: Audit,
  seq: number,
  visit: (line: string) => void,
): Promise<void> {
  const left = audit.head.seq - seq;
  let seen = 0;
  for await (const line of audit.newest()) {
    if (seen++ >= left) return;
    visit(line);
  }
}

const REQUEST_ID = /"requestId":"([^"]*)"/;

function forget(found: Map<string, Proposed>, line: string): void {
  const [, requestId = ""] = REQUEST_ID.exec(line) ?? [];
  const lost = found.get(requestId);
  if (lost !== undefined && isWhole(line, lost.proposal)) found.delete(requestId);
}

/**
 * Whether it is the record of the request and not of a part of it. Parts are written before it, and a
 * kill may come between. They name no rights; nor does a record that was made here, which has the
 * command's name.
 */
function isWhole(line: string, { command }: Proposal): boolean {
  const reading = readLine(line);
  if (!reading.ok) return false;
  const { rights, action } = reading.record;
  return action === command.kind || (Array.isArray(rights) && rights.length > 0);
}

/** In one turn, so that they are one write and the last stands for all. */
async function appendAll(audit: Audit, events: readonly AuditEvent[]): Promise<void> {
  await Promise.all(events.map((event) => audit.append(event)));
}

/** How far back in the history of its key a write is looked for. */
const HISTORY_MAX = 100;

const CHANGE = { put: "put", "delete-range": "delete" } as const;

/** What a command writes, as its request named it. */
interface Write {
  readonly kind: keyof typeof CHANGE;
  readonly key: Key;
  readonly rangeEnd: string;
}

/** The records of a transaction's writes that took place, and that of the request. */
function eventsOf(state: StateReader, { proposal, index }: Proposed): readonly AuditEvent[] {
  const { actor, tenant, command } = proposal;
  const revisionOf = ({ kind, key: written }: Write): number | undefined =>
    state
      .history(tenant, written, 0, HISTORY_MAX)
      .find(({ actor: by, type }) => by.requestId === actor.requestId && type === CHANGE[kind])?.kv
      .modRevision;
  const writes = writesOf(command).map((write) => ({ ...write, revision: revisionOf(write) }));
  const made = oncePerKey(writes.filter(({ revision }) => revision !== undefined));
  const { key: of = NO_KEY, rangeEnd = "" } = made[0] ?? writes[0] ?? {};
  const { issuer, subject, requestId } = actor;
  const common = {
    // The log entry knows no more of who it was.
    actor: { issuer, subject, groups: [] },
    requestId,
    tenant,
    // A transaction is one revision.
    revision: made[0]?.revision ?? 0,
    policyRevision: proposal.policyRevision ?? 0,
    // What a guard or a lease refused is committed all the same; only the history tells what took place.
    outcome: made.length > 0 ? "ok" : "unknown",
    reason: `recovered from log entry ${index}: the member stopped before it was recorded`,
  } as const;
  const parts = command.kind === "txn" ? made : [];
  return [
    ...parts.map((part) =>
      memberEvent({
        ...common,
        action: `txn.${part.kind}`,
        key: part.key,
        rangeEnd: part.rangeEnd,
      }),
    ),
    memberEvent({ ...common, action: command.kind, key: of, rangeEnd }),
  ];
}

const NO_KEY = key("");

/** Both branches of a transaction may write a key, and one was taken. */
function oncePerKey<T extends Write>(writes: readonly T[]): readonly T[] {
  return [...new Map(writes.map((write) => [write.key, write])).values()];
}

function writesOf(command: Proposal["command"]): readonly Write[] {
  switch (command.kind) {
    case "put":
      return [{ kind: "put", key: command.request.key, rangeEnd: "" }];
    case "delete-range":
      return [
        { kind: "delete-range", key: command.request.key, rangeEnd: command.request.rangeEnd },
      ];
    case "txn":
      return writesOfTxn(command.request);
    default:
      return [];
  }
}

function writesOfTxn({ success, failure }: TxnRequest): readonly Write[] {
  return [...success, ...failure].flatMap((op): readonly Write[] => {
    if (op.kind === "txn") return writesOfTxn(op.request);
    return op.kind === "put" || op.kind === "delete-range" ? writesOf(op) : [];
  });
}
