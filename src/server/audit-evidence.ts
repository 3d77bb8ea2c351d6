import { type Audit, type ChainHead, readLine } from "../audit/mod.ts";
import { CLUSTER_SCOPE, type StateReader } from "../core/types/mod.ts";
import { type AcknowledgedDeps, refuse } from "./acknowledged.ts";
import { checkpointsOf, newestCheckpoint } from "./checkpoint-table.ts";
import { memberEvent } from "./member-event.ts";

/**
 * Compares the audit log of this member with the checkpoints that the cluster has of it. A log that was
 * put back to yesterday, cut, or written anew is older than what was signed, and so are the databases
 * that were put back with it: the other members remember.
 */
export async function refuseOlderAudit(
  deps: AcknowledgedDeps,
  { state, member }: { readonly state: StateReader; readonly member: string },
): Promise<void> {
  const { audit } = deps;
  const signed = newestCheckpoint(checkpointsOf(state, CLUSTER_SCOPE, member));
  if (signed === undefined) return;
  if (audit.head.seq === 0) {
    await goOn(deps, signed, { state, member });
    return;
  }
  if (audit.head.seq < signed.seq) {
    await refuseLog(deps, `it ends at record ${audit.head.seq}`, signed.seq);
  }
  const found = await recordAt(audit, signed.seq);
  if (found === undefined) {
    deps.log.error("The audit log lost a record that a checkpoint has; run coffer audit verify", {
      record: signed.seq,
    });
  } else if (found.hash !== signed.hash) {
    await refuseLog(deps, `its record ${signed.seq} is another one`, signed.seq);
  }
}

function refuseLog(deps: AcknowledgedDeps, problem: string, seq: number): Promise<never> {
  return refuse(
    deps,
    `its audit log is not the one that the cluster has a checkpoint of: ${problem}, and record ${seq} ` +
      "was signed. If the whole folder was put back to an older state, remove this member and add it " +
      "anew (coffer member remove). If only the audit log was, put the newest back; or, to go on with " +
      "the loss, move the folder audit away, which is the evidence of it",
  );
}

/** A log that is gone is begun after what was signed of it, so that its numbers are not given twice. */
async function goOn(
  { audit, log }: AcknowledgedDeps,
  signed: ChainHead,
  { state, member }: { readonly state: StateReader; readonly member: string },
): Promise<void> {
  const tenants = state.tenants().flatMap(({ id }) => {
    const newest = newestCheckpoint(checkpointsOf(state, id, member));
    return newest === undefined ? [] : [[id, placeOf(newest)] as const];
  });
  if (!audit.resume(placeOf(signed), tenants)) return;
  const reason = "the audit log was not there: records that a checkpoint has are elsewhere or lost";
  log.error("The audit log is gone; it goes on after its last checkpoint", { record: signed.seq });
  const key = `records:1-${signed.seq}`;
  await audit.append(memberEvent({ action: "audit-resume", key, outcome: "failed", reason }));
}

const placeOf = ({ seq, hash }: ChainHead): ChainHead => ({ seq, hash });

/** The record `seq` of the member's chain; undefined if it is in no file. */
async function recordAt(audit: Audit, seq: number): Promise<ChainHead | undefined> {
  const line = await audit.lineAt(seq);
  const reading = line === undefined ? undefined : readLine(line);
  return reading?.ok === true ? reading.member : undefined;
}
