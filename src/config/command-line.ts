import { CofferError } from "../errors.ts";
import { suggestion } from "./nearest.ts";
import type { Option, OptionTable, PartialValues } from "./option.ts";

/** What a command line says. */
export interface CommandLine<Table extends OptionTable> {
  readonly values: PartialValues<Table>;
  /** What is no option, in order. */
  readonly positional: readonly string[];
}

/**
 * Reads options and positional arguments in any order, as GNU and etcdctl do: `--name value`,
 * `--name=value`, `--switch`, `-w value`, `-wvalue`; all behind `--` is positional, and `-` alone is
 * too. Throws `invalid-argument` for an unknown option, a value that is missing or wrong, or an
 * option given twice that is no list.
 */
export function parseCommandLine<Table extends OptionTable>(
  table: Table,
  argv: readonly string[],
): CommandLine<Table> {
  const options = Object.entries(table);
  const values: { [field: string]: unknown } = {};
  const positional: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      positional.push(...argv.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      positional.push(word);
      continue;
    }
    const { name, inline } = splitWord(word);
    const [field, option] = findOption(options, name);
    const isSwitch = option.parser.kind === "switch";
    const text = inline ?? (isSwitch ? "true" : argv[++at]);
    if (text === undefined) throw usage(`${name} needs a value: ${name} ${placeholder(option)}`);
    const value = parseValue(option, text, name);
    values[field] = Object.hasOwn(values, field) ? both(values[field], value, name) : value;
  }
  return { values: values as PartialValues<Table>, positional };
}

/** A list may be given in parts. */
function both(before: unknown, after: unknown, name: string): unknown {
  if (Array.isArray(before) && Array.isArray(after)) return [...before, ...after];
  throw usage(`${name} is given twice`);
}

function splitWord(word: string): { readonly name: string; readonly inline: string | undefined } {
  if (!word.startsWith("--")) {
    const inline = word.slice(2).replace(/^=/, "");
    return { name: word.slice(0, 2), inline: inline === "" ? undefined : inline };
  }
  const equals = word.indexOf("=");
  if (equals < 0) return { name: word, inline: undefined };
  return { name: word.slice(0, equals), inline: word.slice(equals + 1) };
}

function findOption(
  options: readonly (readonly [string, Option<unknown>])[],
  name: string,
): readonly [string, Option<unknown>] {
  const found = options.find(([, { name: long, short }]) =>
    name.startsWith("--") ? name === `--${long}` : name === `-${short ?? ""}`,
  );
  if (found !== undefined) return found;
  const known = options.map(([, option]) => `--${option.name}`);
  throw usage(`unknown option ${name}${suggestion(name, known)}`);
}

/** Reads `text` as the option's value; `source` is what the error names. */
export function parseValue<T>(option: Option<T>, text: string, source: string): T {
  const parsed = option.parser.parse(text);
  if (parsed.ok) return parsed.value;
  throw usage(`${source}: ${JSON.stringify(text)} ${parsed.error}`);
}

/** A mistake in how Coffer was called. */
export function usage(detail: string): CofferError {
  return new CofferError("invalid-argument", detail);
}

function placeholder(option: Option<unknown>): string {
  return option.parser.placeholder;
}
