import { loadClientConfig, suggestion } from "../config/mod.ts";
import { exitCode, type ExitCode } from "../errors.ts";
import type { Connect } from "./client-port.ts";
import { openClusterClient } from "./cluster-client.ts";
import type { Command, Context, Services } from "./command.ts";
import { auditCommands } from "./commands/audit.ts";
import { del } from "./commands/del.ts";
import { diff } from "./commands/diff.ts";
import { get } from "./commands/get.ts";
import { history } from "./commands/history.ts";
import { issuerCommands } from "./commands/issuer.ts";
import { leaseCommands } from "./commands/lease.ts";
import { memberCommands } from "./commands/member.ts";
import { pkiRuleCommands } from "./commands/pki-rule.ts";
import { pkiCommands } from "./commands/pki.ts";
import { policyCommands } from "./commands/policy.ts";
import { policyInquiryCommands } from "./commands/policy-inquiry.ts";
import { policyReviewCommands } from "./commands/policy-review.ts";
import { put } from "./commands/put.ts";
import { compact } from "./commands/revisions.ts";
import { rollback } from "./commands/rollback.ts";
import { revocationCommands } from "./commands/revocation.ts";
import { serviceCommands } from "./commands/services.ts";
import { status } from "./commands/status.ts";
import { tenantCommands } from "./commands/tenant.ts";
import { tokenCommands } from "./commands/token.ts";
import { txn } from "./commands/txn.ts";
import { watch } from "./commands/watch.ts";
import { reportFailure } from "./failures.ts";
import { commandHelp, groupHelp, overview } from "./help.ts";
import { type Io, textFile, write } from "./io.ts";
import { mistake } from "./keys.ts";

const commands: readonly Command[] = [
  ...serviceCommands,
  get,
  put,
  del,
  txn,
  watch,
  ...leaseCommands,
  compact,
  history,
  diff,
  rollback,
  ...tenantCommands,
  ...policyCommands,
  ...policyInquiryCommands,
  ...policyReviewCommands,
  ...tokenCommands,
  ...revocationCommands,
  ...issuerCommands,
  ...auditCommands,
  ...pkiCommands,
  ...pkiRuleCommands,
  status,
  ...memberCommands,
];

/** etcdctl's name for what Coffer calls otherwise. */
const aliases: { readonly [name: string]: string } = {
  compaction: "compact",
  "--version": "version",
  "-v": "version",
};

/** Words of etcdctl and of habit, and the command that does it here: too far to be found as typos. */
const habits: ReadonlyMap<string, string> = new Map([
  ["auth", "policy list"],
  ["user", "policy list"],
  ["role", "policy list"],
  ["delete", "del"],
  ["rm", "del"],
  ["set", "put"],
  ["ls", "get --prefix"],
  ["list", "get --prefix"],
  ["endpoint", "status"],
  ["health", "status"],
  ["members", "member list"],
  ["start", "dev"],
  ["login", "token whoami"],
  ["whoami", "token whoami"],
]);

/** What the composition root gives to the commands. */
export interface CliDependencies {
  readonly services: Services;
  /** How commands reach a cluster; over the API unless given. */
  readonly connect?: Connect;
}

/**
 * Runs `coffer ARGV` and resolves to its exit code. Never rejects: a failure is told on stderr in two
 * lines, the cause and the next step.
 */
export async function runCli(
  argv: readonly string[],
  io: Io,
  { services, connect }: CliDependencies,
): Promise<ExitCode> {
  const context: Context = {
    io,
    services,
    connect: connect ?? (async (config) => openClusterClient(config, (path) => textFile(io, path))),
    loadClient: (values) => loadClientConfig(values, io.env, (path) => textFile(io, path)),
  };
  const [name, rest] = commandWords(argv);
  try {
    return await dispatch(name, rest, context);
  } catch (error) {
    return reportFailure(error, commands.some((command) => command.name === name) ? name : "", io);
  }
}

/** The name of the command, or of a group of them within a group, and the rest. */
function commandWords(argv: readonly string[]): readonly [string, readonly string[]] {
  for (const words of [3, 2]) {
    const name = argv.slice(0, words).join(" ");
    const isName = commands.some((command) => command.name === name);
    const isGroup = commands.some((command) => command.name.startsWith(`${name} `));
    if (argv.length >= words && (isName || isGroup)) return [name, argv.slice(words)];
  }
  const [first = "", ...rest] = argv;
  return [aliases[first] ?? first, rest];
}

async function dispatch(
  name: string,
  argv: readonly string[],
  context: Context,
): Promise<ExitCode> {
  const { io } = context;
  if (name === "" || name === "--help" || name === "-h" || name === "help") {
    return await help(argv, context);
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command !== undefined) {
    if (!asksHelp(argv)) return await command.run(argv, context);
    await write(io, commandHelp(command));
    return exitCode.ok;
  }
  const group = commands.filter((candidate) => candidate.name.startsWith(`${name} `));
  if (group.length === 0) throw unknown(name, commands);
  const [second] = argv;
  if (second !== undefined && !asksHelp(argv)) throw unknown(`${name} ${second}`, group);
  await write(io, groupHelp(name, group));
  return second === undefined ? exitCode.usage : exitCode.ok;
}

/** `coffer help`, `coffer help lease`, `coffer help lease grant`. */
async function help(words: readonly string[], context: Context): Promise<ExitCode> {
  if (words.length > 0) {
    const [name, rest] = commandWords(words);
    return await dispatch(name, [...rest, "--help"], context);
  }
  await write(context.io, overview(commands));
  return exitCode.ok;
}

function asksHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  return options.includes("--help") || options.includes("-h");
}

function unknown(name: string, among: readonly Command[]): Error {
  const habit = habits.get(name);
  // `leese grant 5` misses the first word of a command of two.
  const names = among.flatMap((command) => [command.name, command.name.replace(/ .*/, "")]);
  const hint = habit === undefined ? suggestion(name, names) : `; did you mean "${habit}"?`;
  return mistake(`unknown command ${JSON.stringify(name)}${hint}`);
}
