import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Rules } from "../../../src/core/raft/rules.ts";
import { createSession, runCase } from "./commands.ts";
import { formatScript, parseScript } from "./parse.ts";

/** Runs scripts from a folder and compares, or rewrites, their expected texts. */

export interface Mismatch {
  readonly lineNumber: number;
  readonly line: string;
  readonly expected: string;
  readonly actual: string;
}

/** The paths of all scripts in `folder`, in order of name. */
export function listScripts(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  return names.sort().map((name) => join(folder, name));
}

/** The cases of the script that did not give what they should; with `update` they are rewritten. */
export function runScript(
  path: string,
  options: { readonly update: boolean; readonly rules?: Rules },
): Mismatch[] {
  const script = parseScript(readFileSync(path, "utf8"));
  const session = createSession(options.rules);
  const actual = script.cases.map((one) => runCase(session, one));
  if (options.update) {
    writeFileSync(path, formatScript(script, actual));
    return [];
  }
  return script.cases.flatMap(({ lineNumber, line, expected }, i) => {
    const got = actual[i] as string;
    return got === expected ? [] : [{ lineNumber, line, expected, actual: got }];
  });
}

/** `mismatch` as a person reads it. */
export function describeMismatch(path: string, mismatch: Mismatch): string {
  const indent = (text: string): string => text.replace(/^(?=.)/gm, "    ");
  const { lineNumber, line, expected, actual } = mismatch;
  return (
    `${path}:${lineNumber}: ${line}\n  expected:\n${indent(expected)}  ` +
    `actual:\n${indent(actual)}`
  );
}
