import {
  type Address,
  type ClientConfig,
  clientOptions,
  type OptionTable,
  parseCommandLine,
} from "../../config/mod.ts";
import { CofferError, exitCode, type ExitCode } from "../../errors.ts";
import { type Command, type Context, tableFormatOption } from "../command.ts";
import type { FleetMember, MemberStatus, Reply } from "../client-port.ts";
import { withProgress, write } from "../io.ts";
import { jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe } from "../print.ts";
import { type StatusRow, rowJson, statusTable } from "../status-rows.ts";

const options: OptionTable = { format: tableFormatOption };

type Answer =
  | {
      readonly endpoint: Address;
      readonly reply: Reply<MemberStatus>;
      readonly latencyMs: number;
      /** All members as this one sees them; empty from a server that cannot tell. */
      readonly fleet: readonly FleetMember[];
    }
  | { readonly endpoint: Address; readonly error: CofferError };

/**
 * Asks each endpoint by itself, so that one that is down does not hide the others, and what it knows of
 * the members that were not named.
 */
export const status: Command = {
  name: "status",
  usage: "",
  summary: "each member: leader, term, log and how far it lags, size, latency",
  examples: [
    ["coffer status", "all members, through those of COFFER_ENDPOINTS"],
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
    const rows = rowsOf(answers);
    const isJson = values["format"] === "json";
    await write(
      context.io,
      isJson ? `${jsonText(rows.map((row) => rowJson(row, rows)))}\n` : statusTable(rows),
    );
    const failed = rows.filter((row) => row.failure !== undefined);
    for (const { endpoint, name, failure } of failed) {
      context.io.stderr.write(`Error: ${safe(endpoint ?? name)}: ${safe(failure ?? "")}\n`);
    }
    return failed.length > 0 ? exitCode.unavailable : exitCode.ok;
  },
};

async function ask(context: Context, config: ClientConfig, endpoint: Address): Promise<Answer> {
  try {
    const client = await context.connect({ ...config, endpoints: [endpoint] });
    try {
      // The first request makes the connection, so only the next one tells the latency.
      const fleet = await client.clusterStatus().catch((error: unknown) => {
        if (error instanceof CofferError && error.code === "unimplemented") return undefined;
        throw error;
      });
      const started = performance.now();
      const reply = await client.status();
      const latencyMs = performance.now() - started;
      return { endpoint, reply, latencyMs, fleet: fleet?.body ?? [] };
    } finally {
      await client.close();
    }
  } catch (error) {
    if (error instanceof CofferError) return { endpoint, error };
    throw error;
  }
}

/** A row for each endpoint, then for each member that none of them is. */
function rowsOf(answers: readonly Answer[]): readonly StatusRow[] {
  const fleets = answers.flatMap((answer) => ("error" in answer ? [] : [answer]));
  const asked = fleets.find(({ fleet }) => fleet.length > 0);
  const fleet = asked?.fleet ?? [];
  const rows = answers.map((answer): StatusRow => {
    const { url } = answer.endpoint;
    if ("error" in answer) {
      // The others know who announces the endpoint.
      const down = fleet.find(({ clientUrls }) => clientUrls.includes(url));
      const failure = answer.error.message;
      return { endpoint: url, name: down?.name ?? "", id: down?.id, failure };
    }
    const { header, body } = answer.reply;
    const known = fleet.find(({ id }) => id === header.memberId);
    return {
      endpoint: url,
      name: known?.name ?? "",
      id: header.memberId,
      header,
      report: body,
      latencyMs: answer.latencyMs,
      roundTripUs: known?.roundTripUs,
    };
  });
  const others = fleet.filter(({ id }) => !rows.some((row) => row.id === id));
  return [...rows, ...others.map(rowOfMember)];
}

function rowOfMember(member: FleetMember): StatusRow {
  const { id, name, clientUrls, report, roundTripUs } = member;
  const [endpoint] = clientUrls;
  if (report !== undefined) {
    const body = { ...report, cofferVersion: report.version, version: "", errors: [] };
    return {
      endpoint,
      name,
      id,
      report: { ...body, isLearner: member.isLearner },
      roundTripUs,
    };
  }
  // One that has never started is expected not to answer.
  if (clientUrls.length === 0) return { endpoint, name, id, unstarted: true };
  return { endpoint, name, id, failure: "the other members cannot reach it" };
}
