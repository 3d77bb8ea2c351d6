/**
 * The form of a script: cases, each a command line, optional input lines, `----`, and the expected
 * text up to an empty line. Lines that begin with `#` before a command are comments. If the
 * expected text itself holds empty lines, it stands between two `----` pairs.
 */
export interface Argument {
  readonly name: string;
  /** Empty for a bare word. */
  readonly values: readonly string[];
}

export interface ScriptCase {
  /** Comments and empty lines before the command, as written. */
  readonly preamble: readonly string[];
  /** The line as written. */
  readonly line: string;
  readonly lineNumber: number;
  readonly command: string;
  readonly args: readonly Argument[];
  readonly input: readonly string[];
  readonly expected: string;
}

export interface Script {
  readonly cases: readonly ScriptCase[];
  /** What follows the last case. */
  readonly tail: readonly string[];
}

const SEPARATOR = "----";

export function parseScript(text: string): Script {
  const lines = text.split("\n");
  const cases: ScriptCase[] = [];
  let at = 0;
  for (;;) {
    const preamble: string[] = [];
    while (at < lines.length && isPreamble(lines[at] as string))
      preamble.push(lines[at++] as string);
    if (at >= lines.length) return { cases, tail: preamble };
    const lineNumber = at + 1;
    const line = lines[at++] as string;
    const input: string[] = [];
    while (at < lines.length && lines[at] !== SEPARATOR) input.push(lines[at++] as string);
    if (at >= lines.length)
      throw new Error(`Line ${lineNumber}: no "${SEPARATOR}" after "${line}"`);
    at++;
    const { expected, next } = readExpected(lines, at);
    at = next;
    cases.push({ preamble, line, lineNumber, ...parseLine(line), input, expected });
  }
}

/** The script with `actual` in place of the expected texts. */
export function formatScript(script: Script, actual: readonly string[]): string {
  const out: string[] = [];
  script.cases.forEach((one, i) => {
    const text = actual[i] as string;
    const fence = /^\s*$/m.test(text.replace(/\n$/, "")) ? [SEPARATOR] : [];
    out.push(...one.preamble, one.line, ...one.input, SEPARATOR, ...fence);
    out.push(...text.replace(/\n$/, "").split("\n"));
    if (fence.length > 0) out.push(SEPARATOR, SEPARATOR);
  });
  out.push(...script.tail);
  return `${out.join("\n").replace(/\n*$/, "")}\n`;
}

function isPreamble(line: string): boolean {
  return line.trim() === "" || line.startsWith("#");
}

function readExpected(lines: readonly string[], from: number): { expected: string; next: number } {
  let at = from;
  const text: string[] = [];
  if (lines[at] === SEPARATOR) {
    at++;
    while (at < lines.length && !(lines[at] === SEPARATOR && lines[at + 1] === SEPARATOR)) {
      text.push(lines[at++] as string);
    }
    return { expected: ended(text), next: at + 2 };
  }
  while (at < lines.length && (lines[at] as string).trim() !== "") text.push(lines[at++] as string);
  return { expected: ended(text), next: at };
}

function ended(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** Words, `name=value`, and `name=(a,b)` or `name=(a b)`. A quoted word may hold spaces. */
function parseLine(line: string): { command: string; args: readonly Argument[] } {
  const words = line.match(/[^\s="]+=\([^)]*\)|"[^"]*"|\S+/g) ?? [];
  const args = words.slice(1).map((word): Argument => {
    const equals = word.startsWith('"') ? -1 : word.indexOf("=");
    if (equals < 0) return { name: word, values: [] };
    const value = word.slice(equals + 1);
    const inner = value.startsWith("(") ? value.slice(1, -1) : value;
    return { name: word.slice(0, equals), values: inner.split(/[\s,]+/).filter((v) => v !== "") };
  });
  return { command: words[0] ?? "", args };
}
