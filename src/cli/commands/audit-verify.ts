import { parseCommandLine, path, text } from "../../config/mod.ts";
import { exitCode, type ExitCode } from "../../errors.ts";
import { type Command, type Context, formatOption } from "../command.ts";
import { textFile, withProgress, write } from "../io.ts";
import { jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe } from "../print.ts";

const options = {
  dataDir: { name: "data-dir", parser: path("FOLDER"), help: "the member's data folder" },
  checkpoints: {
    name: "checkpoints",
    parser: path("FILE"),
    help: "what coffer audit checkpoints -w json printed; proves the end too",
  },
  keyId: {
    name: "key-id",
    parser: text("ID"),
    help: "the only key whose checkpoints count, as coffer audit checkpoints shows it",
  },
  format: formatOption,
} as const;

export const auditVerify: Command = {
  name: "audit verify",
  usage: "FILE | --data-dir FOLDER",
  summary: "prove that no audit record was edited, dropped or reordered; needs no server",
  examples: [
    ["coffer audit verify --data-dir .coffer", "names the first bad line, and exits 1"],
    [
      "coffer audit verify --data-dir .coffer --checkpoints kept.json",
      "also that nothing was cut off, by checkpoints kept elsewhere",
    ],
    ["coffer audit verify trail.jsonl", "a trail that coffer audit export wrote"],
  ],
  options,
  isClient: false,
  run: async (argv: readonly string[], { io, services }: Context): Promise<ExitCode> => {
    const { values, positional } = parseCommandLine(options, argv);
    const [file] = positional;
    const { keyId } = values;
    // A file needs no folder, and the environment may name one for other commands.
    const dataDir = values.dataDir ?? (file === undefined ? io.env["COFFER_DATA_DIR"] : undefined);
    if (positional.length > 1) throw mistake("audit verify takes one FILE");
    if ((dataDir === undefined) === (file === undefined)) {
      throw mistake("audit verify needs either FILE or --data-dir FOLDER");
    }
    const checkpoints =
      values.checkpoints === undefined ? undefined : textFile(io, values.checkpoints);
    const order = { dataDir, file, checkpoints, keyId };
    const verdict = await withProgress(io, "reading the audit log", services.verifyAudit(order));
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
