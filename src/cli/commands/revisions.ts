import { integer, onOff } from "../../config/mod.ts";
import type { HistoryItem } from "../../core/types/mod.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText, kvJson } from "../json.ts";
import { keyOf, mistake } from "../keys.ts";
import { safe, table, timeText } from "../print.ts";

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

export const history: Command = clientCommand({
  name: "history",
  usage: "KEY",
  summary: "who changed a key, when and how, newest first",
  examples: [
    ["coffer history /app/url", "the last changes and their actors"],
    ["coffer history /app/url --before 40 --limit 5", "five changes before revision 40"],
    ["coffer history /app/url --values", "with the values that were written"],
  ],
  options: {
    limit: { name: "limit", parser: integer({ min: 1 }), help: "at most this many (20)" },
    before: { name: "before", parser: integer(), help: "only revisions before this one" },
    values: { name: "values", parser: onOff, help: "show the values too" },
  },
  arity: [1, 1],
  run: async (call) => {
    const { limit = 20, before = 0 } = call.values;
    const key = keyOf(call.positional[0] ?? "");
    const reply = await waitFor(call, call.client.history({ key, before, limit }));
    if (call.format === "json") {
      const json = { header: headerJson(reply.header), items: reply.body.map(itemJson) };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    const heading = ["REVISION", "CHANGE", "VERSION", "TIME", "ACTOR", "REQUEST"];
    const withValues = call.values.values === true;
    const rows = reply.body.map((item) => [...row(item), ...(withValues ? [valueText(item)] : [])]);
    await write(call.io, table(withValues ? [...heading, "VALUE"] : heading, rows));
  },
});

function row({ type, kv, actor, time }: HistoryItem): readonly string[] {
  const who = `${actor.subject} (${actor.issuer})`;
  const version = type === "put" ? String(kv.version) : "-";
  return [
    String(kv.modRevision),
    type,
    version,
    timeText(time),
    safe(who),
    safe(actor.requestId) || "-",
  ];
}

/** A table holds text only; `-w json` gives the bytes. */
function valueText({ type, kv }: HistoryItem): string {
  if (type === "delete") return "-";
  return safe(Buffer.from(kv.value).toString("utf8"));
}

function itemJson({ type, kv, actor, time }: HistoryItem): Json {
  return {
    type,
    kv: kvJson(kv),
    actor: { issuer: actor.issuer, subject: actor.subject, request_id: actor.requestId },
    time,
  };
}
