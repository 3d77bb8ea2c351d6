import { setTimeout as delay } from "node:timers/promises";
import { anyText, integer, onOff, parseCommandLine, path } from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import { clientCommand, type Command, type Context, formatOption } from "../command.ts";
import { withProgress, write } from "../io.ts";
import { jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe } from "../print.ts";

const verifyOptions = {
  dataDir: { name: "data-dir", parser: path("FOLDER"), help: "the member's data folder" },
  format: formatOption,
} as const;

const verify: Command = {
  name: "audit verify",
  usage: "--data-dir FOLDER",
  summary: "prove that no audit record was edited, dropped or reordered; needs no server",
  examples: [["coffer audit verify --data-dir .coffer", "names the first bad line, and exits 1"]],
  options: verifyOptions,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(verifyOptions, argv);
    const { dataDir = io.env["COFFER_DATA_DIR"] } = values;
    if (dataDir === undefined) throw mistake("audit verify needs --data-dir FOLDER");
    if (positional.length > 0) throw mistake("audit verify takes options only");
    const verdict = await withProgress(io, "reading the audit log", services.verifyAudit(dataDir));
    const { ok, records, notes } = verdict;
    const simple = [
      `${ok ? "ok" : "broken"}: ${records} records in order`,
      ...notes.map(safe),
    ].join("\n");
    const json = jsonText({ ok, records, notes });
    await write(io, `${values.format === "json" ? json : simple}\n`);
    return ok ? exitCode.ok : exitCode.failed;
  },
};

const FOLLOW_MS = 1000;

const tail: Command = clientCommand({
  name: "audit tail",
  usage: "",
  summary: "the last audit records of a member, one line of JSON each",
  examples: [
    ["coffer audit tail --outcome denied", "the last refusals"],
    ["coffer audit tail --follow --subject user:alice", "what alice does, as it happens"],
  ],
  options: {
    limit: {
      name: "limit",
      parser: integer({ min: 1, max: 10_000 }),
      help: "at most this many (20)",
    },
    follow: { name: "follow", short: "f", parser: onOff, help: "go on until interrupted" },
    subject: { name: "subject", parser: anyText("SUBJECT"), help: "only of this subject" },
    action: { name: "action", parser: anyText("ACTION"), help: "only this action" },
    outcome: { name: "outcome", parser: anyText("OUTCOME"), help: "only this outcome" },
  },
  arity: [0, 0],
  run: async ({ io, client, values }) => {
    const { limit = 20, subject = "", action = "", outcome = "" } = values;
    let afterSeq = 0;
    for (;;) {
      const query = { limit, afterSeq, subject, action, outcome };
      const { body: lines } = await client.auditTail(query);
      for (const line of lines) await write(io, `${line}\n`);
      afterSeq = Math.max(afterSeq, ...lines.map(seqOf));
      if (values.follow !== true) return;
      await delay(FOLLOW_MS, undefined, { signal: io.signal });
    }
  },
});

function seqOf(line: string): number {
  const record: unknown = JSON.parse(line);
  const seq = typeof record === "object" && record !== null && "seq" in record ? record.seq : 0;
  return typeof seq === "number" ? seq : 0;
}

export const auditCommands: readonly Command[] = [verify, tail];
