import { Parser, parseDocument } from "yaml";
import { parseValue, usage } from "./command-line.ts";
import { suggestion } from "./nearest.ts";
import type { Option, OptionTable, PartialValues } from "./option.ts";

/** Reads a whole text file; throws if it cannot. */
export type ReadFile = (path: string) => string;

/** What reads must carry in the file: its name and text. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** Reads the file. Throws `invalid-argument` that names it if it cannot be read. */
export function readConfigFile(path: string, readFile: ReadFile): ConfigFile {
  try {
    return { path, text: readFile(path) };
  } catch (cause) {
    throw usage(`${path}: cannot be read: ${messageOf(cause)}`);
  }
}

/**
 * The values of a YAML 1.2 file of `name: value` lines. Throws `invalid-argument` naming the file and
 * the line for bad YAML, unknown or repeated names, and values of the wrong type.
 */
export function parseConfigFile<Table extends OptionTable>(
  table: Table,
  file: ConfigFile,
): PartialValues<Table> {
  const content = yamlOf(file);
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content)) {
    throw usage(`${file.path}: is not a list of "name: value" lines`);
  }
  const fieldOf = new Map(Object.entries(table).map(([field, { name }]) => [name, field]));
  const values: { [field: string]: unknown } = {};
  for (const [name, value] of Object.entries(content)) {
    const field = fieldOf.get(name);
    const option = field === undefined ? undefined : table[field];
    if (field === undefined || option === undefined) {
      const hint = suggestion(name, [...fieldOf.keys()]);
      throw usage(`${file.path}: unknown name "${name}"${hint}`);
    }
    values[field] = fileValue(option, value, `${file.path}: ${name}`);
  }
  return values as PartialValues<Table>;
}

/** No option needs more than a list. Past some thousands the YAML parser ends the process. */
const NESTING_MAX = 16;

function yamlOf({ path, text }: ConfigFile): unknown {
  if (isNestedDeep(text)) throw usage(`${path}: is nested deeper than ${NESTING_MAX}`);
  // YAML 1.1 would read `no` and `0777` as something else than what stands there.
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, stringKeys: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw usage(`${path}: ${firstLine(problem.message)}`);
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw usage(`${path}: ${messageOf(cause)}`);
  }
}

/** By the tokens, which are read without recursion. */
function isNestedDeep(text: string): boolean {
  const open: { readonly token: unknown; readonly depth: number }[] = [];
  for (const token of new Parser().parse(text)) open.push({ token, depth: 0 });
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { items, key, value } = (next.token ?? {}) as { readonly [part: string]: unknown };
    if (next.depth > NESTING_MAX) return true;
    const inner: readonly unknown[] = Array.isArray(items) ? items : [];
    for (const token of [key, value]) if (token) open.push({ token, depth: next.depth });
    for (const token of inner) open.push({ token, depth: next.depth + 1 });
  }
  return false;
}

function messageOf(cause: unknown): string {
  return firstLine(cause instanceof Error ? cause.message : String(cause));
}

function fileValue(option: Option<unknown>, value: unknown, source: string): unknown {
  const { kind } = option.parser;
  if (kind === "list" && Array.isArray(value)) {
    if (value.length === 0) return [];
    if (!value.every((item) => typeof item === "string" && !item.includes(","))) {
      throw usage(`${source}: must be a list of texts`);
    }
    return parseValue(option, value.join(","), source);
  }
  if (kind === "switch" && typeof value === "boolean") return value;
  if (kind === "number" && typeof value === "number") {
    return parseValue(option, String(value), source);
  }
  if (kind !== "switch" && typeof value === "string") return parseValue(option, value, source);
  throw usage(`${source}: must be ${expected[kind]}, not ${nameOf(value)}`);
}

const expected = {
  text: "text (put it in quotes)",
  number: "a number, with a unit if it needs one",
  switch: "true or false",
  list: "a list of texts",
} as const;

function nameOf(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a map" : `a ${typeof value}`;
}

function firstLine(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/:$/, "");
}
