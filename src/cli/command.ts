import {
  type ClientConfig,
  type DevConfig,
  type ServerConfig,
  clientOptions,
  type Option,
  oneOf,
  type OptionTable,
  parseCommandLine,
  type PartialValues,
} from "../config/mod.ts";
import { CofferError, exitCode, type ExitCode } from "../errors.ts";
import type { CofferClient } from "./client-port.ts";
import type { PkiServices } from "./commands/pki.ts";
import { type Io, withProgress } from "./io.ts";

/** One command, such as `get` or `lease grant`. */
export interface Command {
  /** The words that call it. */
  readonly name: string;
  /** What follows the name, such as `KEY [RANGE_END]`. */
  readonly usage: string;
  /** One line. */
  readonly summary: string;
  /** What each argument may be, where that takes more than its name. */
  readonly argumentHelp?: readonly (readonly [name: string, help: string])[];
  /** Lines that a reader can copy, and what each does. */
  readonly examples: readonly Example[];
  readonly options: OptionTable;
  /** Takes the options of a client too. */
  readonly isClient: boolean;
  run(argv: readonly string[], context: Context): Promise<ExitCode>;
}

export type Example = readonly [line: string, effect: string];

/** What a command gets beside its own arguments. */
export interface Context {
  readonly io: Io;
  readonly services: Services;
  loadClient(values: PartialValues<OptionTable>): ClientConfig;
  connect(config: ClientConfig): Promise<CofferClient>;
}

/** What the composition root does for the commands that are no clients. */
export interface Services {
  /** Coffer's version. */
  readonly version: string;
  /** Runs one member until `io.signal` aborts. */
  server(config: ServerConfig, io: Io): Promise<ExitCode>;
  /** Runs `coffer dev` until `io.signal` aborts. */
  dev(config: DevConfig, io: Io): Promise<ExitCode>;
  verifyAudit(order: VerifyOrder): Promise<AuditVerdict>;
  readonly pki: PkiServices;
}

/** What `audit verify` is to look at: either a data folder or an exported file. */
export interface VerifyOrder {
  readonly dataDir: string | undefined;
  readonly file: string | undefined;
  /** The text of a file of checkpoints. */
  readonly checkpoints: string | undefined;
  /** The only key whose checkpoints count. */
  readonly keyId: string | undefined;
}

/** What `audit verify` found. */
export interface AuditVerdict {
  readonly ok: boolean;
  /** Good ones, up to the first bad line. */
  readonly records: number;
  /** One line each, which names the first bad line of a trail; none when ok. */
  readonly broken: readonly string[];
  /** Of the trails that are not broken. */
  readonly chains: readonly VerifiedTrail[];
  readonly sources: readonly CheckpointSource[];
}

/** The records of a member, or of a tenant on it, in one place. */
export interface VerifiedTrail {
  readonly place: string;
  /** "": there is no record. */
  readonly member: string;
  /** Undefined: all records of the member. */
  readonly tenant: string | undefined;
  readonly records: number;
  readonly first: number;
  readonly head: { readonly seq: number; readonly hash: string };
  /** The last record that a checkpoint covers; 0: none does. */
  readonly proven: number;
  /** When that was signed. This and the time below are milliseconds since the epoch. */
  readonly provenTime: number | undefined;
  /** Records after it. */
  readonly unsigned: number;
  /** The time of the first of those. */
  readonly unsignedSince: number | undefined;
}

export interface CheckpointSource {
  readonly place: string;
  readonly source: string;
  readonly keys: readonly string[];
  /** Who can write the trail cannot have made them. */
  readonly isTrusted: boolean;
}

export type OutputFormat = "simple" | "json" | "table";

export const formatOption: Option<OutputFormat> = {
  name: "write-out",
  short: "w",
  parser: oneOf(["simple", "json"]),
  help: "form of the output (simple)",
};

/** Of commands whose usual answer is a table, by etcdctl's name for it. */
export const tableFormatOption: Option<OutputFormat> = {
  ...formatOption,
  parser: oneOf(["table", "simple", "json"]),
  help: "form of the output (table)",
};

/** The arguments of a client command, read. */
export interface Call<Table extends OptionTable> {
  readonly io: Io;
  readonly client: CofferClient;
  readonly config: ClientConfig;
  readonly values: PartialValues<Table>;
  readonly positional: readonly string[];
  readonly format: OutputFormat;
  readonly context: Context;
}

export interface ClientCommand<Table extends OptionTable> {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly argumentHelp?: Command["argumentHelp"];
  readonly examples: readonly Example[];
  readonly options: Table;
  /** How many positional arguments it takes: least and most. */
  readonly arity: readonly [number, number];
  /** The body. What it returns is the exit code; nothing: ok. */
  run(call: Call<Table>): Promise<ExitCode | void>;
}

/** A command that talks to a cluster: adds the client options, connects, and closes at the end. */
export function clientCommand<const Table extends OptionTable>(
  command: ClientCommand<Table>,
): Command {
  const { name, usage, summary, argumentHelp = [], examples, arity } = command;
  const options: OptionTable = { format: formatOption, ...command.options };
  const run = async (argv: readonly string[], context: Context): Promise<ExitCode> => {
    const parsed = parseCommandLine({ ...clientOptions, ...options }, argv);
    checkArity(command, parsed.positional.length, arity);
    // An option of a client's name that the command has itself says nothing about how to connect.
    const connecting = Object.entries(parsed.values).filter(([field]) => !(field in options));
    const config = context.loadClient(Object.fromEntries(connecting));
    const client = await context.connect(config);
    try {
      const code = await command.run({
        io: context.io,
        client,
        config,
        values: parsed.values,
        positional: parsed.positional,
        format: (parsed.values["format"] as OutputFormat | undefined) ?? "simple",
        context,
      });
      return code ?? exitCode.ok;
    } finally {
      await client.close();
    }
  };
  return { name, usage, summary, argumentHelp, examples, options, isClient: true, run };
}

function checkArity(
  { name, usage }: { readonly name: string; readonly usage: string },
  count: number,
  [least, most]: readonly [number, number],
): void {
  if (count >= least && count <= most) return;
  const wrong = count < least ? "needs more arguments" : "takes fewer arguments";
  throw new CofferError("invalid-argument", `${name} ${wrong}: coffer ${name} ${usage}`);
}

/** Waits for an answer, with progress on a terminal. */
export function waitFor<T>(call: Call<OptionTable>, work: Promise<T>): Promise<T> {
  const [first] = call.config.endpoints;
  return withProgress(call.io, `waiting for ${first?.url ?? "the cluster"}`, work);
}
