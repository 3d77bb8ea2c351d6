import { createHash } from "node:crypto";
import { structuredPatch } from "diff";
import type { KeyValue } from "../core/types/mod.ts";
import { type Json, kvJson } from "./json.ts";
import { safe } from "./print.ts";

/** What a key held at one time; `kv` undefined: it did not exist. */
export interface KeyState {
  /** The revision that was asked for; 0: now. */
  readonly revision: number;
  readonly kv: KeyValue | undefined;
}

/** Past this two values are told apart by size and digest alone. */
const DIFF_MS_MAX = 3000;

export function isSame(from: KeyState, to: KeyState): boolean {
  if (from.kv === undefined || to.kv === undefined) return from.kv === to.kv;
  return Buffer.compare(from.kv.value, to.kv.value) === 0;
}

/** The difference for people: text line by line, other values by size and digest; "" for none. */
export function diffText(name: string, from: KeyState, to: KeyState): string {
  if (isSame(from, to)) return "";
  const head = `--- ${safe(name)} ${stateText(from)}\n+++ ${safe(name)} ${stateText(to)}\n`;
  const hunks = hunksOf(from, to);
  const lines = hunks?.flatMap(({ header, lines: body }) => [header, ...body.map(safeLine)]);
  return `${head}${(lines ?? digestLines(from, to)).join("\n")}\n`;
}

export function stateJson({ revision, kv }: KeyState): Json {
  return { revision, kv: kv === undefined ? undefined : kvJson(kv) };
}

/** `revision 7`, or the one that a key has now. */
export function stateText({ revision, kv }: KeyState): string {
  const at = revision === 0 ? "now" : `revision ${revision}`;
  if (kv === undefined) return `${at} (does not exist)`;
  return revision === kv.modRevision ? at : `${at} (of revision ${kv.modRevision})`;
}

export interface Hunk {
  /** `@@ -1,2 +1,3 @@` */
  readonly header: string;
  /** Each with ` `, `-`, `+` or `\` before it. */
  readonly lines: readonly string[];
}

/** Undefined if one of the values is not text, or they differ too much to compare in time. */
export function hunksOf(from: KeyState, to: KeyState): readonly Hunk[] | undefined {
  const before = textOf(from);
  const after = textOf(to);
  if (before === undefined || after === undefined) return undefined;
  const patch = structuredPatch("", "", before, after, "", "", {
    context: 3,
    timeout: DIFF_MS_MAX,
  });
  // Values seldom end in a line end; it is worth telling only where it is the difference.
  const endAlike = before.endsWith("\n") === after.endsWith("\n");
  return patch?.hunks.map(({ oldStart, oldLines, newStart, newLines, lines }) => ({
    header: `@@ -${partText(oldStart, oldLines)} +${partText(newStart, newLines)} @@`,
    lines: endAlike ? lines.filter((line) => !line.startsWith("\\")) : lines,
  }));
}

/** The part of one side; an empty one is named by the line before it (POSIX diff -u). */
function partText(start: number, lines: number): string {
  return `${lines === 0 ? start - 1 : start},${lines}`;
}

// oxlint-disable-next-line no-control-regex -- what is not found in text
const NOT_TEXT = /[\u0000-\u0008\u000e-\u001a\u001c-\u001f\u007f]/;

/** "" for a key that does not exist; undefined for what is not text. */
function textOf({ kv }: KeyState): string | undefined {
  if (kv === undefined) return "";
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(kv.value);
    return NOT_TEXT.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function digestLines(from: KeyState, to: KeyState): readonly string[] {
  return [`-${digestText(from)}`, `+${digestText(to)}`];
}

function digestText({ kv }: KeyState): string {
  if (kv === undefined) return "";
  return `${kv.value.length} bytes, sha256 ${createHash("sha256").update(kv.value).digest("hex")}`;
}

/** Tabs stay: they steer nothing. */
function safeLine(line: string): string {
  return line.split("\t").map(safe).join("\t");
}
