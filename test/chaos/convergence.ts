import type { FinalLine, HistoryLine } from "./history.ts";
import { isFinal } from "./history.ts";
import { type Truth, sameState } from "./truth.ts";
import { Findings, type Verdict } from "./verdict.ts";

/** Members hold the same when all is healed (G13): history, keys, and hash at one revision. */
export function checkConvergence(
  lines: readonly HistoryLine[],
  truth: Truth | undefined,
  members: number,
): Verdict {
  const findings = new Findings("G13", "members converge");
  const finals = lines.filter(isFinal);
  for (const { type, member, error } of finals) {
    if (type === "fail") findings.violated(`${member} could not be read: ${error}`);
  }
  const told = finals.filter(({ type }) => type === "ok");
  const [first] = told;
  if (told.length < members)
    findings.unknown(`${told.length} of ${members} members told what they hold`);
  if (first === undefined || truth === undefined) {
    findings.unknown("no member told what it holds");
    return findings.verdict;
  }
  if (members > 1 && first.hash === undefined) findings.unknown("no member told its hash");
  for (const final of told) {
    compare(first, final, findings);
    compareKeys(final, truth, findings);
  }
  return findings.verdict;
}

function compare(first: FinalLine, final: FinalLine, findings: Findings): void {
  const both = `${first.member} and ${final.member}`;
  const at = `${first.rev} and ${final.rev}`;
  findings.expect(first.rev === final.rev, () => `${both} are at revisions ${at}`);
  findings.expect(first.digest === final.digest, () => `${both} tell different histories`);
  findings.expect(
    first.hash === final.hash,
    () => `${both} have hashes ${first.hash} and ${final.hash} at ${at}`,
  );
}

/** The keys that a member holds are those that the history leaves. */
function compareKeys(final: FinalLine, truth: Truth, findings: Findings): void {
  for (const kv of final.kvs) {
    const held = truth.at(kv.key, truth.revision);
    findings.expect(
      sameState(held, kv),
      () =>
        `${final.member} holds ${JSON.stringify(kv)}, and its history leaves ${JSON.stringify(held ?? null)}`,
    );
  }
  const left = truth.keys().filter((key) => truth.at(key, truth.revision) !== undefined);
  findings.expect(
    left.length === final.kvs.length,
    () => `${final.member} holds ${final.kvs.length} keys, and its history leaves ${left.length}`,
  );
}
