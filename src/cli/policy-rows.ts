import type { PolicyRow } from "./client-port.ts";
import { mistake } from "./keys.ts";

/**
 * Policy rows as Casbin's CSV: one row a line, fields between commas, quotes as RFC 4180 §2, so that a
 * quoted field may hold a line end. A file of changes has `+` before each row to add and `-` before each
 * to remove, as `coffer policy diff` writes it.
 */
export interface PolicyFile {
  /** Rows without a sign, and those with `+`. */
  readonly add: readonly PolicyRow[];
  readonly remove: readonly PolicyRow[];
  /** Whether any row has a sign. */
  readonly isChange: boolean;
}

const BLANK_OR_COMMENT = /[ \t\r]*(?:#[^\n]*)?(?:\n|$)/y;
const SIGN = /[ \t]*([+-])[ \t]*/y;
const FIELD = /[ \t]*(?:"((?:[^"]|"")*)"|([^",\r\n]*?))[ \t]*(,|\r?\n|\r?$)/y;

/** The rows of `text`. Throws CofferError `invalid-argument` that names the line. */
export function parsePolicyFile(text: string): PolicyFile {
  const add: PolicyRow[] = [];
  const remove: PolicyRow[] = [];
  let isChange = false;
  for (let at = text.startsWith("\ufeff") ? 1 : 0; at < text.length;) {
    const blank = matchAt(BLANK_OR_COMMENT, text, at);
    if (blank !== undefined) {
      at += blank[0].length;
      continue;
    }
    const sign = matchAt(SIGN, text, at);
    const { row, next } = parseRow(text, at + (sign?.[0].length ?? 0));
    (sign?.[1] === "-" ? remove : add).push(row);
    isChange ||= sign !== undefined;
    at = next;
  }
  return { add, remove, isChange };
}

function parseRow(text: string, start: number): { readonly row: PolicyRow; readonly next: number } {
  const fields: string[] = [];
  let at = start;
  for (let separator = ","; separator === ",";) {
    const match = matchAt(FIELD, text, at);
    if (match === undefined) {
      throw mistake(`line ${lineOf(text, at)} has an open or misplaced quote`);
    }
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    separator = match[3] ?? "";
    at += match[0].length;
  }
  const [kind] = fields;
  if (kind === "p" && fields.length === 4) fields.push("allow");
  const isRow = (kind === "p" && fields.length === 5) || (kind === "g" && fields.length === 3);
  if (isRow) return { row: fields, next: at };
  throw mistake(
    `line ${lineOf(text, start)} is neither "p, subject, object, action, allow|deny" nor ` +
      '"g, member, role"',
  );
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

/** The rows as text that parsePolicyFile reads again. */
export function policyText(rows: readonly PolicyRow[]): string {
  return rows.map((row) => `${rowText(row)}\n`).join("");
}

export function rowText(row: PolicyRow): string {
  return row.map(quoteField).join(", ");
}

function quoteField(field: string): string {
  // A sign that begins a row is quoted like what begins a comment.
  if (/^[^\s",#+-](?:[^",\r\n]*[^\s",])?$/.test(field)) return field;
  return `"${field.replaceAll('"', '""')}"`;
}

/** What the arguments of a row may be, for `--help`. */
export const ROW_HELP: readonly (readonly [name: string, help: string])[] = [
  ["SUBJECT", "user:NAME, sa:NAME, cert:NAME, group:NAME, or role:NAME"],
  ["OBJECT", "a key, or a prefix and one star; for admin what it is about, as policy/change, or *"],
  ["ACTION", "read, list, watch, write, delete, lease, admin, or *"],
];

/** And those of a question about the policy. */
export const ACTION_HELP: typeof ROW_HELP = [
  ["ACTION", "read, list, watch, write, delete, lease, or admin"],
  ["KEY", "a key; for admin what it is about, as policy/change"],
];
