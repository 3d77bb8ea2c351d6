import { checkConvergence } from "./convergence.ts";
import type { HistoryLine } from "./history.ts";
import { checkLeases } from "./leases.ts";
import { checkLinearizability } from "./linearizability.ts";
import { pairOps } from "./ops.ts";
import { checkRevisions } from "./revisions.ts";
import { truthOf } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";
import { checkWatches } from "./watches.ts";

/** Every check of a history. `members` are as many as must have told what they hold at the end. */
export function checkHistory(lines: readonly HistoryLine[], members: number): readonly Verdict[] {
  const truth = truthOf(lines);
  return [
    checkLinearizability(pairOps(lines)),
    ...(truth === undefined
      ? [withoutTruth()]
      : [
          ...checkRevisions(lines, truth),
          ...checkWatches(lines, truth),
          checkLeases(lines, truth),
        ]),
    checkConvergence(lines, truth, members),
  ];
}

function withoutTruth(): Verdict {
  const findings = new Findings("G2-G12 G14", "checks against the history of a member");
  findings.unknown("no member told its history");
  return findings.verdict;
}
