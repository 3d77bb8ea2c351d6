import { integer, onOff } from "../../config/mod.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";

export const compact: Command = clientCommand({
  name: "compact",
  usage: "REVISION",
  summary: "forget all that was replaced or deleted before a revision",
  examples: [["coffer compact 1000", "reads of revisions before 1000 are refused from now on"]],
  options: {
    physical: { name: "physical", parser: onOff, help: "wait until the space is free" },
  },
  arity: [1, 1],
  run: async (call) => {
    const [argument = ""] = call.positional;
    const revision = integer({ min: 0 }).parse(argument);
    if (!revision.ok) throw mistake(`the revision: ${JSON.stringify(argument)} ${revision.error}`);
    const request = { revision: revision.value, physical: call.values.physical ?? false };
    const { header } = await waitFor(call, call.client.compact(request));
    const json = `${jsonText({ header: headerJson(header) })}\n`;
    await write(call.io, call.format === "json" ? json : `compacted revision ${revision.value}\n`);
  },
});
