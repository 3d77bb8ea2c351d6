import { CofferError } from "../errors.ts";
import type { PolicyRow } from "./row.ts";

/**
 * Policies as text: one row a line, fields split by commas, blanks around a field dropped, `#` at
 * the start of a line for comments. A field in double quotes may hold anything, newlines too; a
 * quote in it is written twice (RFC 4180 §2). Rows come out as arrays and are never joined and
 * split again, so no field can ever become a row (casbin's own file adapter lets it).
 */

/** The rows of `text`, in order. Throws CofferError `invalid-argument` that names the line. */
export function parsePolicyCsv(text: string): PolicyRow[] {
  const rows: PolicyRow[] = [];
  let at = text.startsWith("\ufeff") ? 1 : 0;
  while (at < text.length) {
    const start = skipBlanks(text, at);
    if (start === text.length || isLineEnd(text, start)) {
      at = start + 1;
    } else if (text[start] === "#") {
      at = endOfLine(text, start) + 1;
    } else {
      const line = parseRow(text, start);
      rows.push(line.row);
      at = line.next;
    }
  }
  return rows;
}

/** Text that `parsePolicyCsv` reads back as exactly `rows`. Throws on a row without fields. */
export function formatPolicyCsv(rows: readonly PolicyRow[]): string {
  return rows.map((row) => `${formatRow(row)}\n`).join("");
}

function formatRow(row: PolicyRow): string {
  if (row.length === 0) throw new CofferError("invalid-argument", "policy row has no fields");
  return row.map(formatField).join(", ");
}

const PLAIN_FIELD = /^[^\s",#][^",\r\n]*$/u;

function formatField(field: string): string {
  if (PLAIN_FIELD.test(field) && field.trim() === field) return field;
  return `"${field.replaceAll('"', '""')}"`;
}

function parseRow(text: string, start: number): { row: PolicyRow; next: number } {
  const row: string[] = [];
  let at = start;
  for (;;) {
    at = skipBlanks(text, at);
    const field = text[at] === '"' ? quotedField(text, at) : plainField(text, at);
    row.push(field.value);
    at = field.next;
    if (at >= text.length || isLineEnd(text, at)) return { row, next: at + 1 };
    at++; // the comma
  }
}

function plainField(text: string, start: number): { value: string; next: number } {
  let end = start;
  while (end < text.length && text[end] !== "," && !isLineEnd(text, end)) {
    if (text[end] === '"') throw lineError(text, end, "has a quote inside a field without quotes");
    end++;
  }
  return { value: text.slice(start, end).trim(), next: end };
}

function quotedField(text: string, start: number): { value: string; next: number } {
  let value = "";
  let from = start + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote === -1) throw lineError(text, start, "opens a quote that nothing closes");
    value += text.slice(from, quote);
    if (text[quote + 1] === '"') {
      value += '"';
      from = quote + 2;
      continue;
    }
    const next = skipBlanks(text, quote + 1);
    if (next < text.length && text[next] !== "," && !isLineEnd(text, next)) {
      throw lineError(text, quote, "has text between a closing quote and the comma");
    }
    return { value, next };
  }
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\t" || (text[at] === "\r" && text[at + 1] === "\n"))
    at++;
  return at;
}

function isLineEnd(text: string, at: number): boolean {
  return text[at] === "\n";
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

function lineError(text: string, at: number, fault: string): CofferError {
  const line = text.slice(0, at).split("\n").length;
  return new CofferError("invalid-argument", `policy file line ${line} ${fault}`);
}
