import { integer, onOff } from "../../config/mod.ts";
import type { HistoryEntry } from "../client-port.ts";
import { clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText, kvJson } from "../json.ts";
import { keyOf } from "../keys.ts";
import { safe, table, timeText } from "../print.ts";

export const history: Command = clientCommand({
  name: "history",
  usage: "KEY",
  summary: "who changed a key, when and how, newest first",
  examples: [
    ["coffer history /app/url", "the last changes and their actors"],
    ["coffer history /app/url --before 40 --limit 5", "five changes before revision 40"],
    ["coffer history /app/url --values", "with the values that were written"],
    ["coffer diff /app/url", "what the last change changed"],
  ],
  options: {
    format: tableFormatOption,
    limit: { name: "limit", parser: integer({ min: 1 }), help: "at most this many (20)" },
    before: { name: "before", parser: integer(), help: "only revisions before this one" },
    values: { name: "values", parser: onOff, help: "show the values too, if you may read them" },
  },
  arity: [1, 1],
  run: async (call) => {
    const { limit = 20, before = 0 } = call.values;
    const key = keyOf(call.positional[0] ?? "");
    const isJson = call.format === "json";
    const values = isJson || call.values.values === true;
    const { header, body } = await waitFor(
      call,
      call.client.history({ key, before, limit, values }),
    );
    if (body.valuesWithheld) call.io.stderr.write(WITHHELD_NOTE);
    if (isJson) {
      const { more, valuesWithheld: values_withheld } = body;
      const items = body.items.map(itemJson);
      const json = { header: headerJson(header), items, more, values_withheld };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    const heading = ["REVISION", "CHANGE", "VERSION", "BYTES", "TIME", "ACTOR", "REQUEST"];
    const withValues = values && !body.valuesWithheld;
    const rows = body.items.map((item) => [...row(item), ...(withValues ? [valueText(item)] : [])]);
    await write(call.io, table(withValues ? [...heading, "VALUE"] : heading, rows));
    const last = body.items.at(-1)?.kv.modRevision;
    if (!body.more || last === undefined) return;
    call.io.stderr.write(`There are older revisions: coffer history KEY --before ${last}\n`);
  },
});

const WITHHELD_NOTE = "The values are left out: you may list this key, and not read it.\n";

function row({ type, kv, actor, time, valueBytes }: HistoryEntry): readonly string[] {
  const isPut = type === "put";
  return [
    String(kv.modRevision),
    type,
    isPut ? String(kv.version) : "-",
    isPut ? String(valueBytes) : "-",
    timeText(time),
    safe(`${actor.subject} (${actor.issuer})`),
    safe(actor.requestId) || "-",
  ];
}

/** A table holds text only; `-w json` gives the bytes. */
function valueText({ type, kv }: HistoryEntry): string {
  if (type === "delete") return "-";
  return safe(Buffer.from(kv.value).toString("utf8"));
}

function itemJson({ type, kv, actor, time, valueBytes }: HistoryEntry): Json {
  return {
    type,
    kv: kvJson(kv),
    value_bytes: valueBytes,
    actor: { issuer: actor.issuer, subject: actor.subject, request_id: actor.requestId },
    time,
  };
}
