import {
  type Address,
  type ClientConfig,
  clientOptions,
  type OptionTable,
  parseCommandLine,
} from "../../config/mod.ts";
import { CofferError, exitCode, type ExitCode } from "../../errors.ts";
import { type Command, type Context, formatOption } from "../command.ts";
import type { MemberStatus, Reply } from "../client-port.ts";
import { withProgress, write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, table } from "../print.ts";

const options: OptionTable = { format: formatOption };

type Answer =
  | { readonly endpoint: Address; readonly reply: Reply<MemberStatus> }
  | { readonly endpoint: Address; readonly error: CofferError };

/** Asks each endpoint by itself, so that one that is down does not hide the others. */
export const status: Command = {
  name: "status",
  usage: "",
  summary: "each member: version, size, leader, log",
  examples: [
    ["coffer status", "the members of COFFER_ENDPOINTS"],
    ["coffer status --endpoints https://a:2379,https://b:2379 -w json", "for a script"],
  ],
  options,
  isClient: true,
  run: async (argv: readonly string[], context: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine({ ...options, ...clientOptions }, argv);
    if (positional.length > 0) throw mistake("status takes options only");
    const config = context.loadClient(values);
    const work = Promise.all(config.endpoints.map((endpoint) => ask(context, config, endpoint)));
    const answers = await withProgress(context.io, "asking the members", work);
    const isJson = values["format"] === "json";
    await write(
      context.io,
      isJson ? `${jsonText(answers.map(answerJson))}\n` : answerTable(answers),
    );
    const failed = answers.filter((answer) => "error" in answer);
    for (const { endpoint, error } of failed) {
      context.io.stderr.write(`Error: ${endpoint.url}: ${safe(error.message)}\n`);
    }
    return failed.length > 0 ? exitCode.unavailable : exitCode.ok;
  },
};

async function ask(context: Context, config: ClientConfig, endpoint: Address): Promise<Answer> {
  try {
    const client = await context.connect({ ...config, endpoints: [endpoint] });
    try {
      return { endpoint, reply: await client.status() };
    } finally {
      await client.close();
    }
  } catch (error) {
    if (error instanceof CofferError) return { endpoint, error };
    throw error;
  }
}

function answerTable(answers: readonly Answer[]): string {
  const heading = ["ENDPOINT", "ID", "VERSION", "ETCD", "SIZE", "ROLE", "TERM", "INDEX", "ERRORS"];
  const rows = answers.map((answer) => {
    const { url } = answer.endpoint;
    if ("error" in answer) return [url, "-", "-", "-", "-", "unreachable", "-", "-", "-"];
    const { header, body } = answer.reply;
    return [
      url,
      header.memberId.toString(16),
      safe(body.cofferVersion) || "-",
      safe(body.version),
      sizeText(body.dbSize),
      roleOf(answer.reply),
      String(body.raftTerm),
      `${body.raftAppliedIndex}/${body.raftIndex}`,
      body.errors.map(safe).join("; ") || "-",
    ];
  });
  return table(heading, rows);
}

function roleOf({ header, body }: Reply<MemberStatus>): string {
  if (body.isLearner) return "learner";
  return body.leader === header.memberId ? "leader" : "follower";
}

function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 2 ** (10 * power)).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** The form of `etcdctl endpoint status -w json`. */
function answerJson(answer: Answer): Json {
  const { url } = answer.endpoint;
  if ("error" in answer) return { Endpoint: url, Error: answer.error.message };
  const { header, body } = answer.reply;
  return {
    Endpoint: url,
    Status: {
      header: headerJson(header),
      version: body.version,
      cofferVersion: body.cofferVersion === "" ? undefined : body.cofferVersion,
      dbSize: body.dbSize,
      leader: body.leader,
      raftIndex: body.raftIndex,
      raftTerm: body.raftTerm,
      raftAppliedIndex: body.raftAppliedIndex,
      errors: body.errors.length === 0 ? undefined : body.errors,
      dbSizeInUse: body.dbSizeInUse,
      isLearner: body.isLearner ? true : undefined,
    },
  };
}
