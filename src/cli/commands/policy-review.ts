import { integer } from "../../config/mod.ts";
import { exitCode } from "../../errors.ts";
import type { PolicyTrial, PolicyTrialChange } from "../client-port.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { isShown, write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { base64OfKey } from "../keys.ts";
import { planOf, planText, replaceOption } from "../policy-plan.ts";
import { safe, table, timeText } from "../print.ts";
import { rangeText } from "./policy-inquiry.ts";

/** A change of policy looked at before it is made. */

const diff: Command = clientCommand({
  name: "policy diff",
  usage: "[FILE | -]",
  summary: "show what `policy import --replace FILE` would add and remove; exit code 1 if anything",
  examples: [
    ["coffer policy diff policy.csv", "+ is added, - is removed"],
    ["coffer policy diff policy.csv > change", "which policy try and policy import take"],
  ],
  options: {},
  arity: [0, 1],
  run: async (call) => {
    const plan = await planOf(call, { replace: "rows" });
    const { policyRevision: policy_revision, add, remove } = plan;
    const isEqual = add.length + remove.length === 0;
    const json = jsonText({ policy_revision, equal: isEqual, add, remove });
    // A terminal gets what cannot steer it; a file must be read again as it was.
    const simple = isShown(call.io) ? safeLines(planText(plan)) : planText(plan);
    await write(call.io, call.format === "json" ? `${json}\n` : simple);
    return isEqual ? exitCode.ok : exitCode.failed;
  },
});

const tryFile: Command = clientCommand({
  name: "policy try",
  usage: "[FILE | -]",
  summary:
    "show what a change would do to recorded requests, without making it; exit code 1 if any",
  examples: [
    ["coffer policy try more.csv", "rows to add; a row after - would be removed"],
    [
      "coffer policy try --replace policy.csv --last 50000",
      "all rows anew, and a longer look back",
    ],
    ["echo '- p, role:dev, *, *, allow' | coffer policy try", "who would miss this row?"],
  ],
  options: {
    replace: replaceOption,
    last: {
      name: "last",
      parser: integer({ min: 1, max: 100_000 }),
      help: "judge this many of the newest audit records (10000)",
    },
  },
  arity: [0, 1],
  run: async (call) => {
    const { add, remove } = await planOf(call, { replace: call.values.replace ?? false });
    const request = { add, remove, last: call.values.last ?? 0 };
    const { header, body } = await waitFor(call, call.client.policyTry(request));
    const json = (): string => `${jsonText({ header: headerJson(header), ...trialJson(body) })}\n`;
    await write(call.io, call.format === "json" ? json() : trialText(body));
    if (body.problems.length > 0) return exitCode.usage;
    return body.changesTotal > 0 || body.locksOut ? exitCode.failed : exitCode.ok;
  },
});

function trialText(trial: PolicyTrial): string {
  if (trial.problems.length > 0) {
    return `The change would be refused:\n${trial.problems.map((one) => `  ${safe(one)}\n`).join("")}`;
  }
  const { records, judged, moved, cut, changes, changesTotal } = trial;
  const since = records === 0 ? "" : ` since ${timeText(trial.oldest)}`;
  const lines = [`${records} audit records of this member${since}, ${judged} of them judged`];
  if (cut > 0) lines.push(`${cut} not judged: they name too many or too long keys`);
  if (moved > 0) lines.push(`${moved} were decided otherwise then: the policy has changed since`);
  if (trial.locksOut) lines.push("WARNING: you could no longer change the policy yourself");
  if (changesTotal === 0) lines.push("the change would decide none of them otherwise");
  const text = `${lines.join("\n")}\n`;
  if (changes.length === 0) return text;
  const heading = ["NOW", "THEN", "COUNT", "LAST SEEN", "SUBJECT", "REQUEST"];
  const more = changesTotal - changes.length;
  const rest = more > 0 ? `... and ${more} more, each seen less often\n` : "";
  return `${text}\n${table(heading, changes.map(changeRow))}${rest}`;
}

function changeRow(change: PolicyTrialChange): readonly string[] {
  const { subject, groups, action, allowedNow, count, lastSeen } = change;
  const words = ["refused", "allowed"];
  const [now = "", then = ""] = allowedNow ? words.toReversed() : words;
  const who = groups.length === 0 ? subject : `${subject} (${groups.join(", ")})`;
  const keys = change.key === "" ? "" : ` ${rangeText(change)}`;
  return [now, then, String(count), timeText(lastSeen), safe(who), safe(`${action}${keys}`)];
}

function trialJson(trial: PolicyTrial): { readonly [name: string]: Json } {
  return {
    problems: trial.problems,
    records: trial.records,
    judged: trial.judged,
    moved: trial.moved,
    cut: trial.cut,
    oldest: trial.oldest,
    locks_out: trial.locksOut,
    changes_total: trial.changesTotal,
    changes: trial.changes.map((change) => ({
      subject: change.subject,
      groups: change.groups,
      action: change.action,
      key: base64OfKey(change.key),
      range_end: base64OfKey(change.rangeEnd),
      allowed_now: change.allowedNow,
      count: change.count,
      last_seen: change.lastSeen,
    })),
  };
}

function safeLines(text: string): string {
  return text.split("\n").map(safe).join("\n");
}

export const policyReviewCommands: readonly Command[] = [diff, tryFile];
