import { type Audit, type AuditEvent, createCursors, viewOf } from "../audit/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** The audit log as the edge needs it. */
export function auditPort(audit: Audit, log: Logger): EdgeParts["audit"] {
  const cursors = createCursors();
  return {
    append: recordedLate(audit, log),
    get blocked() {
      return audit.blocked;
    },
    async search(search, { tenant, asker }) {
      const { fromTime, toTime, oldestFirst, cursor, ...filter } = search;
      const page = await audit.search({
        ...filter,
        tenant,
        order: oldestFirst ? "oldest" : "newest",
        from: cursors.open(cursor, asker),
        fromMs: fromTime,
        toMs: toTime,
      });
      return {
        lines: tenant === undefined ? page.lines : page.lines.map(viewOf),
        next: cursors.seal(page.next, asker),
        done: page.isDone,
        end: cursors.seal(page.end, asker),
      };
    },
  };
}

/** Only requests that were under way as the log failed: those that come then do no work. */
const LATE_MAX = 10_000;

/**
 * Appends, and keeps what could not be written until it can: a write that was under way as the disk
 * filled up has been committed, so its record must not be lost with the answer. A kill before that leaves
 * it to the next start (audit-recovery.ts), for no mark is written either.
 */
function recordedLate(audit: Audit, log: Logger): (event: AuditEvent) => Promise<void> {
  let late: AuditEvent[] = [];
  /** Those of one write, which have one promise. */
  let batch: { readonly written: Promise<void>; readonly events: AuditEvent[] } | undefined;
  const append = (event: AuditEvent): Promise<void> => {
    const written = audit.append(event);
    if (batch?.written === written) {
      batch.events.push(event);
      return written;
    }
    const events = [event];
    batch = { written, events };
    written.catch(() => {
      for (const failed of events) if (mayHaveWritten(failed)) keep(lateOf(failed));
    });
    return written;
  };
  const keep = (event: AuditEvent): void => {
    if (late.length < LATE_MAX) late.push(event);
    else
      log.error("An audit record was lost: too many wait for the disk", { action: event.action });
  };
  audit.onWritten(() => {
    const kept = late;
    late = [];
    for (const event of kept) audit.append(event).catch(() => keep(event));
  });
  return append;
}

/**
 * What was refused has changed nothing, nor what came while the log was blocked; an entry whose request
 * timed out may be committed all the same.
 */
function mayHaveWritten({ outcome, reason }: AuditEvent): boolean {
  return outcome === "ok" || (outcome === "failed" && reason !== "audit-blocked");
}

const LATE = "recorded late: the audit log could not be written, and the client was told so";

const lateOf = (event: AuditEvent): AuditEvent => ({
  ...event,
  outcome: "unknown",
  reason: event.reason === "" ? LATE : `${LATE} (${event.reason})`,
});
