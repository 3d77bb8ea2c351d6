import { integer, list } from "../../config/mod.ts";
import type { OptionTable } from "../../config/mod.ts";
import type { Key } from "../../core/types/mod.ts";
import { exitCode } from "../../errors.ts";
import type { Reply } from "../client-port.ts";
import { type Call, clientCommand, type Command } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText } from "../json.ts";
import { lastChange, stateAt } from "../key-states.ts";
import { base64OfKey, keyOf, mistake } from "../keys.ts";
import { diffText, hunksOf, isSame, type KeyState, stateJson } from "../value-diff.ts";

export const diff: Command = clientCommand({
  name: "diff",
  usage: "KEY",
  summary: "show what changed between two revisions of a key, by lines; exit code 1 if anything",
  examples: [
    ["coffer diff /app/config", "what the last change changed"],
    ["coffer diff /app/config --rev 40 --rev 57", "from what it was at 40 to what it was at 57"],
    ["coffer diff /app/config --rev 40", "from what it was at 40 to what it is now"],
  ],
  options: {
    revisions: {
      name: "rev",
      parser: list(integer({ min: 1 })),
      help: "compare from this revision to now, or given twice, to the second",
    },
  },
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const key = keyOf(name);
    const { header, body } = await statesOf(call, key, call.values.revisions ?? []);
    const { from, to } = body;
    const isEqual = isSame(from, to);
    const json = (): string =>
      jsonText({
        header: headerJson(header),
        key: base64OfKey(key),
        equal: isEqual,
        from: stateJson(from),
        to: stateJson(to),
        hunks: hunksOf(from, to)?.map((hunk) => ({ header: hunk.header, lines: hunk.lines })),
      });
    await write(call.io, call.format === "json" ? `${json()}\n` : diffText(name, from, to));
    return isEqual ? exitCode.ok : exitCode.failed;
  },
});

async function statesOf(
  call: Call<OptionTable>,
  key: Key,
  revisions: readonly number[],
): Promise<Reply<{ readonly from: KeyState; readonly to: KeyState }>> {
  const [first, second = 0, third] = revisions;
  if (third !== undefined) throw mistake("--rev is given more than twice");
  if (first === undefined) return await lastChange(call, key);
  const { body: from } = await stateAt(call, key, first);
  const { header, body: to } = await stateAt(call, key, second);
  return { header, body: { from, to } };
}
