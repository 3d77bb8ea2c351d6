import { onOff, type Option, type OptionTable, type PartialValues } from "../../config/mod.ts";
import type { DeleteRangeRequest, Key } from "../../core/types/mod.ts";
import { clientCommand, type Command, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { deleteJson, headerJson, jsonText } from "../json.ts";
import { keyOf, targetOf } from "../keys.ts";
import { deletePieces, joinPieces } from "../print.ts";

/** Shared by `del` and the del of a transaction. */
export interface DeleteOptions extends OptionTable {
  readonly prefix: Option<boolean>;
  readonly fromKey: Option<boolean>;
  readonly prevKv: Option<boolean>;
}

export const deleteOptions: DeleteOptions = {
  prefix: { name: "prefix", parser: onOff, help: "all keys that start with KEY" },
  fromKey: { name: "from-key", parser: onOff, help: "all keys from KEY on, by bytes" },
  prevKv: { name: "prev-kv", parser: onOff, help: "show what was deleted" },
};

/** The request of parsed `del` arguments. */
export function deleteRequestOf(
  values: PartialValues<DeleteOptions>,
  keys: readonly Key[],
): DeleteRangeRequest {
  return { ...targetOf(keys, values), prevKv: values.prevKv ?? false };
}

export const del: Command = clientCommand({
  name: "del",
  usage: "KEY [RANGE_END]",
  summary: "delete a key, a range or a prefix, and print how many",
  examples: [
    ["coffer del /app/url", "one key"],
    ["coffer del --prefix /app/ --prev-kv", "everything below /app/, shown as it goes"],
  ],
  options: deleteOptions,
  arity: [1, 2],
  run: async (call) => {
    const request = deleteRequestOf(call.values, call.positional.map(keyOf));
    const reply = await waitFor(call, call.client.deleteRange(request));
    if (call.format === "json") {
      const json = { header: headerJson(reply.header), ...deleteJson(reply.body) };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    await write(call.io, joinPieces(deletePieces(reply.body)));
  },
});
