import {
  integer,
  onOff,
  type Option,
  oneOf,
  type OptionTable,
  type PartialValues,
} from "../../config/mod.ts";
import type {
  Key,
  RangeRequest,
  RangeResult,
  SortOrder,
  SortTarget,
} from "../../core/types/mod.ts";
import { CofferError } from "../../errors.ts";
import { clientCommand, type Command, type Call, waitFor } from "../command.ts";
import { write } from "../io.ts";
import { headerJson, jsonText, rangeJson } from "../json.ts";
import { keyOf, mistake, targetOf } from "../keys.ts";
import { joinPieces, kvPieces, rangePieces } from "../print.ts";

type SortBy = "CREATE" | "KEY" | "MODIFY" | "VALUE" | "VERSION";

const sorts: { readonly [name in SortBy]: SortTarget } = {
  CREATE: "create",
  KEY: "key",
  MODIFY: "mod",
  VALUE: "value",
  VERSION: "version",
};

/** What selects keys; shared by `get` and the get of a transaction. */
export interface RangeOptions extends OptionTable {
  readonly prefix: Option<boolean>;
  readonly fromKey: Option<boolean>;
  readonly rev: Option<number>;
  readonly limit: Option<number>;
  readonly sortBy: Option<SortBy>;
  readonly order: Option<"ASCEND" | "DESCEND">;
  readonly keysOnly: Option<boolean>;
  readonly countOnly: Option<boolean>;
  readonly consistency: Option<"l" | "s">;
}

export const rangeOptions: RangeOptions = {
  prefix: { name: "prefix", parser: onOff, help: "all keys that start with KEY" },
  fromKey: { name: "from-key", parser: onOff, help: "all keys from KEY on, by bytes" },
  rev: { name: "rev", parser: integer(), help: "as of this revision (the newest)" },
  limit: { name: "limit", parser: integer(), help: "at most this many keys (all)" },
  sortBy: {
    name: "sort-by",
    parser: oneOf(["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]),
    help: "what to sort by (KEY)",
  },
  order: { name: "order", parser: oneOf(["ASCEND", "DESCEND"]), help: "order (ASCEND)" },
  keysOnly: { name: "keys-only", parser: onOff, help: "keys without values" },
  countOnly: { name: "count-only", parser: onOff, help: "only how many keys there are" },
  consistency: {
    name: "consistency",
    parser: oneOf(["l", "s"]),
    help: "l: the newest state; s: what the member has (l)",
  },
};

const options = {
  ...rangeOptions,
  valueOnly: { name: "print-value-only", parser: onOff, help: "values without keys" },
  raw: { name: "raw", parser: onOff, help: "the bytes of one value and nothing else" },
} as const;

/** The request of parsed `get` arguments. */
export function rangeRequestOf(
  values: PartialValues<RangeOptions>,
  keys: readonly Key[],
): RangeRequest {
  const { sortBy, order } = values;
  const sorted = sortBy !== undefined || order !== undefined;
  const sortOrder: SortOrder = order === "DESCEND" ? "descend" : "ascend";
  return {
    ...targetOf(keys, values),
    limit: values.limit ?? 0,
    revision: values.rev ?? 0,
    sortOrder: sorted ? sortOrder : "none",
    sortTarget: sorts[sortBy ?? "KEY"],
    serializable: values.consistency === "s",
    keysOnly: values.keysOnly ?? false,
    countOnly: values.countOnly ?? false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

export const get: Command = clientCommand({
  name: "get",
  usage: "KEY [RANGE_END]",
  summary: "read a key, a range or a prefix",
  examples: [
    ["coffer get /app/url", "one key and its value"],
    ["coffer get --prefix /app/", "everything below /app/"],
    ["coffer get /app/a /app/m", "keys from /app/a up to, without, /app/m"],
    ["coffer get /app/url --rev 7 -w json", "as it was at revision 7, with its revisions"],
    ["coffer get --raw /tls/chain > chain.pem", "a value byte for byte"],
    ["coffer get --prefix '' --count-only", "how many keys there are"],
  ],
  options,
  arity: [1, 2],
  run: async (call) => {
    const request = rangeRequestOf(call.values, call.positional.map(keyOf));
    if (call.values.raw === true && request.rangeEnd !== "") {
      throw mistake("--raw writes one value: name one key");
    }
    const reply = await waitFor(call, call.client.range(request));
    if (call.format === "json") {
      const json = { header: headerJson(reply.header), ...rangeJson(reply.body) };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    await write(call.io, output(call, reply.body));
  },
});

function output(call: Call<typeof options>, result: RangeResult): Uint8Array {
  if (call.values.countOnly === true) return joinPieces([`${result.count}\n`]);
  if (call.values.raw === true) {
    const [kv] = result.kvs;
    if (kv === undefined) throw new CofferError("not-found", "there is no such key");
    return kv.value;
  }
  const valueOnly = call.values.valueOnly === true;
  return joinPieces(valueOnly ? kvPieces(result.kvs, true) : rangePieces(result));
}
