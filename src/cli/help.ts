import { clientOptions, type Option, type OptionTable, variableOf } from "../config/mod.ts";
import { exitCode } from "../errors.ts";
import type { Command } from "./command.ts";

/** `coffer --help`. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }) => [name, summary] as const);
  return [
    "coffer - a secure, multi-tenant configuration store that speaks etcd's v3 API",
    "",
    "Usage: coffer COMMAND [ARGUMENTS] [OPTIONS]",
    "",
    "A first session:",
    "  coffer dev                      start a member with all it needs, in .coffer",
    "  . .coffer/env                   in another terminal: say where it is and who you are",
    "  coffer put /app/url https://x   store a value, sealed",
    "  coffer get --prefix /app/       read all keys below /app/",
    "",
    "Commands:",
    ...columns(rows),
    "",
    "coffer COMMAND --help shows a command's options and examples.",
    `Exit codes: ${exitCodes}.`,
    "",
  ].join("\n");
}

const exitCodes = [
  `${exitCode.ok} done`,
  `${exitCode.failed} failed`,
  `${exitCode.usage} wrong usage`,
  `${exitCode.notFound} not found`,
  `${exitCode.denied} denied`,
  `${exitCode.unavailable} unavailable`,
  `${exitCode.conflict} conflict`,
].join(", ");

/** `coffer COMMAND --help`. */
export function commandHelp(command: Command): string {
  const { name, usage, summary, examples } = command;
  return [
    `coffer ${name} - ${summary}`,
    "",
    `Usage: coffer ${name} ${usage}`.trimEnd(),
    "",
    ...section("Arguments:", columns(command.argumentHelp ?? [])),
    ...section("Options:", optionLines(command.options, name === "server")),
    ...section(
      "To reach the cluster:",
      command.isClient ? optionLines(connecting(command), true) : [],
    ),
    ...section(
      "Examples:",
      examples.flatMap(([line, effect]) => [`  # ${effect}`, `  ${line}`]),
    ),
  ].join("\n");
}

/** What the command does not mean otherwise. */
function connecting({ options }: Command): OptionTable {
  return Object.fromEntries(Object.entries(clientOptions).filter(([field]) => !(field in options)));
}

/** `coffer lease --help`. */
export function groupHelp(group: string, commands: readonly Command[]): string {
  const rows = commands.map(({ name, usage, summary }) => [`${name} ${usage}`, summary] as const);
  return [`Usage: coffer ${group} COMMAND`, "", "Commands:", ...columns(rows), ""].join("\n");
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [title, ...lines, ""];
}

function optionLines(options: OptionTable, withVariables: boolean): readonly string[] {
  return columns(
    Object.values(options).map((option) => [
      optionName(option),
      withVariables ? `${option.help} [${variableOf(option.name)}]` : option.help,
    ]),
  );
}

function optionName({ name, short, parser }: Option<unknown>): string {
  const value = parser.placeholder === "" ? "" : ` ${parser.placeholder}`;
  return `${short === undefined ? "" : `-${short}, `}--${name}${value}`;
}

const FIRST_COLUMN_MAX = 30;

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.min(FIRST_COLUMN_MAX, Math.max(0, ...rows.map(([first]) => first.length)));
  return rows.flatMap(([first, second]) =>
    first.length > width
      ? [`  ${first}`, `  ${" ".repeat(width)}  ${second}`]
      : [`  ${first.padEnd(width)}  ${second}`],
  );
}
