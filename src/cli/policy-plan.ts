import { onOff, type Option, type OptionTable } from "../config/mod.ts";
import type { PolicyRow } from "./client-port.ts";
import { type Call, waitFor } from "./command.ts";
import { inputFile } from "./input-file.ts";
import { readStdin } from "./io.ts";
import { mistake } from "./keys.ts";
import { type PolicyFile, parsePolicyFile, rowText } from "./policy-rows.ts";
import { safe } from "./print.ts";

/** What a file of rows or changes does to the policy in force: what `diff` shows and `import` does. */
export interface PolicyPlan {
  readonly policyRevision: number;
  readonly add: readonly PolicyRow[];
  readonly remove: readonly PolicyRow[];
}

export const replaceOption: Option<boolean> = {
  name: "replace",
  parser: onOff,
  help: "remove the rows that the file has not",
};

/**
 * The plan of the file that the command names. With `replace` every other row goes; "rows" does so for a
 * file of rows alone, since a file of changes says itself what goes.
 */
export async function planOf(
  call: Call<OptionTable>,
  { replace: asked }: { readonly replace: boolean | "rows" },
): Promise<PolicyPlan> {
  const file = parsePolicyFile(await fileText(call));
  if (asked === true && file.isChange) {
    throw mistake("a file with + or - before its rows is a change: leave --replace out");
  }
  const replace = asked === "rows" ? !file.isChange : asked;
  const { body } = await waitFor(call, call.client.policyList());
  const current = new Set(body.rows.map(idOf));
  return {
    policyRevision: body.policyRevision,
    add: distinct(file.add).filter((row) => !current.has(idOf(row))),
    remove: replace ? withoutRows(body.rows, file.add) : removals(file, current),
  };
}

function removals(file: PolicyFile, current: ReadonlySet<string>): readonly PolicyRow[] {
  const rows = distinct(file.remove);
  const missing = rows.find((row) => !current.has(idOf(row)));
  if (missing === undefined) return rows;
  throw mistake(
    `the row to remove is not in the policy: ${safe(rowText(missing))}; see: coffer policy list`,
  );
}

function withoutRows(rows: readonly PolicyRow[], others: readonly PolicyRow[]): PolicyRow[] {
  const ids = new Set(others.map(idOf));
  return rows.filter((row) => !ids.has(idOf(row)));
}

function distinct(rows: readonly PolicyRow[]): readonly PolicyRow[] {
  return [...new Map(rows.map((row) => [idOf(row), row])).values()];
}

function idOf(row: PolicyRow): string {
  return JSON.stringify(row);
}

/** The plan as a file of changes, in the order of the rows, so that a change stands beside what it changes. */
export function planText({ add, remove }: PolicyPlan): string {
  const lines = [
    ...remove.map((row) => ({ text: rowText(row), sign: "-" })),
    ...add.map((row) => ({ text: rowText(row), sign: "+" })),
  ];
  lines.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  return lines.map(({ text, sign }) => `${sign} ${text}\n`).join("");
}

async function fileText(call: Call<OptionTable>): Promise<string> {
  const [file = "-"] = call.positional;
  const bytes = file === "-" ? await readStdin(call.io) : inputFile(call.io, file);
  return Buffer.from(bytes).toString("utf8");
}
