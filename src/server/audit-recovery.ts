import type { Audit, AuditEvent } from "../audit/mod.ts";
import {
  CLUSTER_SCOPE,
  type Key,
  type MemberId,
  type Proposal,
  type StateReader,
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
 * proposed itself and that no record tells of. The marks bound how far back it looks. Before anything is
 * served.
 */
export async function recoverRecords(deps: RecoveryDeps, appliedIndex: number): Promise<void> {
  const { audit, log, raftLog } = deps;
  // A record may come a moment after the mark that has its entry, and not after the one behind that.
  const [newest, since = newest] = await newestMarks(audit, 2);
  // Each start makes one: without any, this is another log than the one that could tell.
  if (since === undefined || since.index >= appliedIndex) return;
  const missing = await unrecorded(deps, since, appliedIndex);
  for (const [proposal, index] of missing) await audit.append(eventOf(deps.state, proposal, index));
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

async function unrecorded(
  { audit, raftLog, memberId }: RecoveryDeps,
  since: { readonly index: number; readonly seq: number },
  appliedIndex: number,
): Promise<readonly (readonly [Proposal, number])[]> {
  const found = new Map<string, readonly [Proposal, number]>();
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
        const { actor, command, tenant } = proposal;
        if (actor.requestId === "" || command.kind === "lease-renew") continue;
        // Proposed again after its policy moved: the last one counts.
        found.set(nameOf(actor.requestId, tenant), [proposal, index]);
      }
    }
    if (entries.length === 0) break;
  }
  if (found.size > 0) await forRecordsAfter(audit, since.seq, (name) => found.delete(name));
  return [...found.values()];
}

const nameOf = (requestId: string, tenant: string): string => `${tenant} ${requestId}`;

async function forRecordsAfter(
  audit: Audit,
  seq: number,
  visit: (name: string) => void,
): Promise<void> {
  const left = audit.head.seq - seq;
  let seen = 0;
  for await (const line of audit.newest()) {
    if (seen++ >= left) return;
    const [, tenant = ""] = /"tenant":"([^"]*)"/.exec(line) ?? [];
    const [, requestId = ""] = /"requestId":"([^"]*)"/.exec(line) ?? [];
    visit(nameOf(requestId, tenant));
    // What a tenant's own people change of the cluster is proposed there.
    visit(nameOf(requestId, CLUSTER_SCOPE));
  }
}

/** How far back in the history of its key a write is looked for. */
const HISTORY_MAX = 100;

function eventOf(state: StateReader, proposal: Proposal, index: number): AuditEvent {
  const { actor, tenant, command } = proposal;
  const target = targetOf(proposal);
  const made =
    target.key === ""
      ? undefined
      : state
          .history(tenant, target.key, 0, HISTORY_MAX)
          .find((item) => item.actor.requestId === actor.requestId);
  return memberEvent({
    ...actor,
    tenant,
    action: command.kind,
    key: target.key,
    rangeEnd: target.rangeEnd,
    revision: made?.kv.modRevision ?? 0,
    policyRevision: proposal.policyRevision ?? 0,
    // What a guard or a lease refused is committed all the same; only the history tells what took place.
    outcome: made === undefined ? "unknown" : "ok",
    reason: `recovered from log entry ${index}: the member stopped before it was recorded`,
  });
}

const NO_KEY = key("");

function targetOf({ command }: Proposal): { readonly key: Key; readonly rangeEnd: string } {
  switch (command.kind) {
    case "put":
      return { key: command.request.key, rangeEnd: "" };
    case "delete-range":
      return { key: command.request.key, rangeEnd: command.request.rangeEnd };
    case "txn": {
      const { success, failure } = command.request;
      const writes = [...success, ...failure].flatMap((op) =>
        op.kind === "put" || op.kind === "delete-range" ? [op.request.key] : [],
      );
      return { key: writes[0] ?? NO_KEY, rangeEnd: "" };
    }
    default:
      return { key: NO_KEY, rangeEnd: "" };
  }
}
