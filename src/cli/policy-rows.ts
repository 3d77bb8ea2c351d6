import type { PolicyRow } from "./client-port.ts";
import { mistake } from "./keys.ts";

/** Policy rows as Casbin's CSV: one row a line, fields between commas, quotes as RFC 4180 §2. */

/** The rows of `text`. Throws CofferError `invalid-argument` that names the line. */
export function parsePolicyRows(text: string): readonly PolicyRow[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === "" || line.trimStart().startsWith("#")) return [];
    return [parseRow(line, index + 1)];
  });
}

const FIELD = /\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(,|$)/y;

function parseRow(line: string, number: number): PolicyRow {
  const fields: string[] = [];
  FIELD.lastIndex = 0;
  for (let separator = ","; separator === ",";) {
    const match = FIELD.exec(line);
    if (match === null) throw mistake(`line ${number} has an open or misplaced quote`);
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    separator = match[3] ?? "";
  }
  const [kind] = fields;
  if (kind === "p" && fields.length === 4) return [...fields, "allow"];
  if ((kind === "p" && fields.length === 5) || (kind === "g" && fields.length === 3)) return fields;
  throw mistake(
    `line ${number} is neither "p, subject, object, action, allow|deny" nor "g, member, role"`,
  );
}

/** The rows as text that parsePolicyRows reads again. */
export function policyText(rows: readonly PolicyRow[]): string {
  return rows.map((row) => `${row.map(quoteField).join(", ")}\n`).join("");
}

function quoteField(field: string): string {
  if (/^[^\s",#](?:[^",\n]*[^\s",])?$/.test(field)) return field;
  return `"${field.replaceAll('"', '""')}"`;
}
