import { list, onOff, text } from "../../config/mod.ts";
import { prefixRange } from "../../core/types/mod.ts";
import type { PolicyExplanation, WhoCanAnswer } from "../client-port.ts";
import { clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { base64OfKey, keyOf, type Target, targetOf } from "../keys.ts";
import { ACTION_HELP, rowText } from "../policy-rows.ts";
import { safe, table } from "../print.ts";

/** Questions about the policy in force, for those who may read it. */

const rangeOptions = {
  prefix: { name: "prefix", parser: onOff, help: "all keys that start with KEY" },
  fromKey: { name: "from-key", parser: onOff, help: "all keys from KEY on, by bytes" },
} as const;

const whoCan: Command = clientCommand({
  name: "policy who-can",
  usage: "ACTION KEY [RANGE_END]",
  summary: "list who is named by the policy and may, each with the row that gives it",
  argumentHelp: ACTION_HELP,
  examples: [
    ["coffer policy who-can read /app/url", "who may read this key?"],
    ["coffer policy who-can write --prefix /app/", "who may write every key below /app/?"],
    ["coffer policy who-can admin policy/change", "who may change the policy?"],
  ],
  options: { ...rangeOptions, format: tableFormatOption },
  arity: [2, 3],
  run: async (call) => {
    const [action = "", ...names] = call.positional;
    const target = targetOf(names.map(keyOf), call.values);
    const holders: WhoCanAnswer["holders"][number][] = [];
    for (let after = "", more = true; more;) {
      const question = { action, ...target, after };
      const { header, body } = await waitFor(call, call.client.policyWhoCan(question));
      holders.push(...body.holders);
      ({ more, next: after } = body);
      if (more || call.format !== "json") continue;
      const json = { header: headerJson(header), policy_revision: body.policyRevision, holders };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    const rows = holders.map(({ subject, row }) => [safe(subject), safe(rowText(row))]);
    if (rows.length === 0) await write(call.io, "nobody that the policy names\n");
    else await write(call.io, table(["SUBJECT", "BY"], rows));
    call.io.stderr.write(GROUPS_NOTE);
  },
});

const GROUPS_NOTE =
  "Whoever's token names one of these groups may too, and groups can also add to or deny what a\n" +
  "subject has by itself: ask with coffer policy explain ACTION KEY --as SUBJECT --groups GROUP,...\n";

const explain: Command = clientCommand({
  name: "policy explain",
  usage: "ACTION KEY [RANGE_END]",
  summary:
    "tell why something is allowed or refused: the rows, the chain of roles, what is missing",
  argumentHelp: ACTION_HELP,
  examples: [
    ["coffer policy explain read /app/url --as user:alice", "why may alice, or why not?"],
    ["coffer policy explain list --prefix /app/ --as user:alice --groups dev", "with a group"],
  ],
  options: {
    ...rangeOptions,
    as: { name: "as", parser: text("SUBJECT"), help: "another subject than the caller" },
    groups: { name: "groups", parser: list(text("GROUP")), help: "the groups that it is in" },
  },
  arity: [2, 3],
  run: async (call) => {
    const [action = "", ...names] = call.positional;
    const target = targetOf(names.map(keyOf), call.values);
    const { as: subject = "", groups = [] } = call.values;
    const question = { subject, groups, action, ...target };
    const { header, body } = await waitFor(call, call.client.policyExplain(question));
    const json = (): string =>
      `${jsonText({ header: headerJson(header), ...explanationJson(body) })}\n`;
    const simple = (): string => explanationText(body, action, target);
    await write(call.io, call.format === "json" ? json() : simple());
  },
});

function explanationJson(body: PolicyExplanation): { readonly [name: string]: Json | undefined } {
  const { subject, groups, allowed, reason, grounds, missing } = body;
  const isMissing = reason === "no-row-allows";
  return {
    subject,
    groups,
    allowed,
    reason,
    grounds: grounds.map(({ row, via }) => ({ row, via })),
    missing_key: isMissing ? base64OfKey(missing.key) : undefined,
    missing_range_end: isMissing ? base64OfKey(missing.rangeEnd) : undefined,
  };
}

function explanationText(body: PolicyExplanation, action: string, target: Target): string {
  const { subject, groups, allowed, reason, grounds, missing } = body;
  const inGroups =
    groups.length === 0 ? "" : ` (${groups.map((one) => `group:${one}`).join(", ")})`;
  const may = allowed ? "may" : "may not";
  const who = safe(`${subject}${inGroups}`);
  const lines = [`${allowed ? "yes" : "no"}: ${who} ${may} ${action} ${rangeText(target)}`];
  if (reason === "row-denies") lines.push("denied, whatever else allows it, by:");
  if (reason === "no-row-allows") {
    lines.push(`allowed by no row: ${rangeText(missing)}`);
    if (grounds.length > 0) lines.push("what comes before that is allowed by:");
  }
  if (reason === "malformed-question") {
    lines.push("no identity can have that name: it is user:NAME, sa:NAMESPACE/NAME or cert:NAME");
  }
  for (const { row, via } of grounds) {
    lines.push(`  ${safe(rowText(row))}`);
    if (via.length > 1) lines.push(`    ${safe(via.join(" -> "))}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Keys for people: quoted where they could be mistaken. */
export function rangeText({ key, rangeEnd }: Target): string {
  if (rangeEnd === "") return keyText(key);
  if (rangeEnd === "\0")
    return key === "\0" || key === "" ? "all keys" : `all keys from ${keyText(key)} on`;
  if (prefixRange(key).hi === rangeEnd) return `all keys that start with ${keyText(key)}`;
  return `the keys from ${keyText(key)} up to ${keyText(rangeEnd)}, which is not among them`;
}

export function keyText(key: string): string {
  return JSON.stringify(safe(Buffer.from(key, "latin1").toString("utf8")));
}

export const policyInquiryCommands: readonly Command[] = [whoCan, explain];
