import { list as listOf, onOff, type OptionTable, text } from "../../config/mod.ts";
import { exitCode } from "../../errors.ts";
import { type Call, clientCommand, type Command, waitFor } from "../command.ts";
import type { PolicyRow } from "../client-port.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { keyOf, mistake, targetOf } from "../keys.ts";
import { planOf, replaceOption } from "../policy-plan.ts";
import { ACTION_HELP, policyText, ROW_HELP, rowText } from "../policy-rows.ts";
import { safe } from "../print.ts";

const ROW_USAGE = "SUBJECT OBJECT ACTION [allow|deny] | --role MEMBER ROLE";

const roleOption = {
  name: "role",
  parser: onOff,
  help: "the arguments are a member and a role, not a grant",
} as const;

const list: Command = clientCommand({
  name: "policy list",
  usage: "",
  summary: "the policy rows of the tenant",
  examples: [["coffer policy list --tenant blue", "who may do what in tenant blue"]],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.policyList());
    const json = jsonText({
      header: headerJson(header),
      policy_revision: body.policyRevision,
      rows: body.rows,
    });
    // An object may hold what steers a terminal; export writes the bytes.
    const simple = body.rows.map((row) => `${safe(rowText(row))}\n`).join("");
    await write(call.io, call.format === "json" ? `${json}\n` : simple);
  },
});

const add: Command = clientCommand({
  name: "policy add",
  usage: ROW_USAGE,
  summary: "add a grant, a denial or a role's member",
  argumentHelp: ROW_HELP,
  examples: [
    ["coffer policy add role:reader '/app/*' read", "the role may read all below /app/"],
    ["coffer policy add --role user:alice role:reader", "alice has the role"],
    ["coffer policy add user:alice /app/secret read deny", "but not this key: deny wins"],
  ],
  options: { role: roleOption },
  arity: [2, 4],
  run: async (call) => await change(call, { add: [rowOf(call)], remove: [] }),
});

const remove: Command = clientCommand({
  name: "policy remove",
  usage: ROW_USAGE,
  summary: "remove a row",
  argumentHelp: ROW_HELP,
  examples: [["coffer policy remove role:reader '/app/*' read", "running watches end too"]],
  options: { role: roleOption },
  arity: [2, 4],
  run: async (call) => await change(call, { add: [], remove: [rowOf(call)] }),
});

const importRows: Command = clientCommand({
  name: "policy import",
  usage: "[FILE | -]",
  summary: "add the rows of a CSV file or of stdin, all or none",
  examples: [
    ["coffer policy import policy.csv", "add what is not there yet; a row after - is removed"],
    ["coffer policy import --replace < policy.csv", "and remove every other row"],
    ["coffer policy diff policy.csv", "see first what --replace would change"],
  ],
  options: { replace: replaceOption },
  arity: [0, 1],
  run: async (call) => {
    const { add, remove } = await planOf(call, { replace: call.values.replace ?? false });
    if (add.length + remove.length > 0) return await change(call, { add, remove });
    if (call.format === "json") return await write(call.io, `${jsonText({ unchanged: true })}\n`);
    await write(call.io, "nothing to change\n");
  },
});

const exportRows: Command = clientCommand({
  name: "policy export",
  usage: "",
  summary: "write the rows as CSV that policy import reads",
  examples: [["coffer policy export > policy.csv", "keep it in version control"]],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    const { body } = await waitFor(call, call.client.policyList());
    await write(call.io, policyText(body.rows));
  },
});

const canI: Command = clientCommand({
  name: "policy can-i",
  usage: "ACTION KEY [RANGE_END]",
  summary: "ask whether an action is allowed, and by which row; exit code 4 if not",
  argumentHelp: ACTION_HELP,
  examples: [
    ["coffer policy can-i read /app/url", "may I read this key?"],
    ["coffer policy can-i watch --prefix /app/ --as user:alice", "may alice watch these?"],
    ["coffer policy explain read /app/url", "by which chain of roles, or what is missing"],
  ],
  options: {
    prefix: { name: "prefix", parser: onOff, help: "all keys that start with KEY" },
    fromKey: { name: "from-key", parser: onOff, help: "all keys from KEY on, by bytes" },
    as: { name: "as", parser: text("SUBJECT"), help: "another subject than the caller" },
    groups: { name: "groups", parser: listOf(text("GROUP")), help: "the groups that it is in" },
  },
  arity: [2, 3],
  run: async (call) => {
    const [action = "", ...names] = call.positional;
    const target = targetOf(names.map(keyOf), call.values);
    const question = {
      subject: call.values.as ?? "",
      groups: call.values.groups ?? [],
      action,
      ...target,
    };
    const { header, body } = await waitFor(call, call.client.policyAsk(question));
    // Without the right to read the policy no row is named, whatever decided.
    const unnamed = body.allowed ? "a row allows it" : "no row allows it, or one denies it";
    const row = body.row === undefined ? unnamed : rowText(body.row);
    const simple = `${body.allowed ? "yes" : "no"}: ${safe(row)}`;
    const answer = { allowed: body.allowed, row: body.row };
    const json = jsonText({ header: headerJson(header), ...answer });
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
    return body.allowed ? exitCode.ok : exitCode.denied;
  },
});

type RowCall = Call<{ readonly role: typeof roleOption }>;

function rowOf({ positional, values }: RowCall): PolicyRow {
  const [subject = "", object = "", action, effect = "allow"] = positional;
  if (values.role === true) {
    if (action !== undefined) throw mistake("--role takes two arguments: MEMBER ROLE");
    return ["g", subject, object];
  }
  if (action === undefined) throw mistake("a grant needs SUBJECT OBJECT ACTION");
  return ["p", subject, object, action, effect];
}

async function change(
  call: Call<OptionTable>,
  rows: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): Promise<void> {
  const { header, body } = await waitFor(call, call.client.policyChange(rows));
  const done = `added ${rows.add.length}, removed ${rows.remove.length}`;
  const json = jsonText({ header: headerJson(header), policy_revision: body.policyRevision });
  const simple = `${done}; policy revision ${body.policyRevision}`;
  await write(call.io, `${call.format === "json" ? json : simple}\n`);
}

export const policyCommands: readonly Command[] = [list, add, remove, importRows, exportRows, canI];
