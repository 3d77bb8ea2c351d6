import {
  onOff,
  type Option,
  type OptionTable,
  type PartialValues,
  path,
  text,
} from "../../config/mod.ts";
import { type Key, NO_LEASE, type PutRequest } from "../../core/types/mod.ts";
import { type Call, clientCommand, type Command, waitFor } from "../command.ts";
import { inputFile } from "../input-file.ts";
import { readStdin, write } from "../io.ts";
import { headerJson, jsonText, putJson } from "../json.ts";
import { keyOf, mistake, parseLease } from "../keys.ts";
import { joinPieces, putPieces } from "../print.ts";

/** Shared by `put` and the put of a transaction. */
export interface PutOptions extends OptionTable {
  readonly lease: Option<string>;
  readonly prevKv: Option<boolean>;
  readonly ignoreValue: Option<boolean>;
  readonly ignoreLease: Option<boolean>;
}

export const putOptions: PutOptions = {
  lease: { name: "lease", parser: text("ID"), help: "lease, in hex, that the key lives by" },
  prevKv: { name: "prev-kv", parser: onOff, help: "show what the key held before" },
  ignoreValue: { name: "ignore-value", parser: onOff, help: "keep the value it has" },
  ignoreLease: { name: "ignore-lease", parser: onOff, help: "keep the lease it has" },
};

const options = {
  ...putOptions,
  file: { name: "file", parser: path("FILE"), help: "read the value from a file" },
} as const;

/** The request of parsed `put` arguments. */
export function putRequestOf(
  values: PartialValues<PutOptions>,
  key: Key,
  value: Uint8Array,
): PutRequest {
  return {
    key,
    value,
    lease: values.lease === undefined ? NO_LEASE : parseLease(values.lease),
    prevKv: values.prevKv ?? false,
    ignoreValue: values.ignoreValue ?? false,
    ignoreLease: values.ignoreLease ?? false,
  };
}

export const put: Command = clientCommand({
  name: "put",
  usage: "KEY [VALUE | -]",
  summary: "store a value: the argument, a file, or stdin byte for byte",
  examples: [
    ["coffer put /app/url https://example.org", "a value on the command line"],
    ["coffer put /db/password < password.txt", "a secret, which a command line would show"],
    ["coffer put /tls/chain --file chain.pem", "the bytes of a file"],
    ["coffer put /app/owner me --lease 41f2a20457fd8519", "gone when the lease ends"],
    ["coffer put -- /app/flag --verbose", "a value that starts with a dash"],
  ],
  options,
  arity: [1, 2],
  run: async (call) => {
    const [name = ""] = call.positional;
    const request = putRequestOf(call.values, keyOf(name), await valueOf(call));
    const reply = await waitFor(call, call.client.put(request));
    if (call.format === "json") {
      const json = { header: headerJson(reply.header), ...putJson(reply.body) };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    await write(call.io, joinPieces(putPieces(reply.body)));
  },
});

async function valueOf(call: Call<typeof options>): Promise<Uint8Array> {
  const [, argument] = call.positional;
  const { file } = call.values;
  if (call.values.ignoreValue === true) {
    if (argument !== undefined || file !== undefined) {
      throw mistake("--ignore-value keeps the value, so give none");
    }
    return new Uint8Array(0);
  }
  if (file !== undefined) {
    if (argument !== undefined) throw mistake("give the value or --file, not both");
    return inputFile(call.io, file);
  }
  if (argument !== undefined && argument !== "-") return Buffer.from(argument, "utf8");
  if (call.io.isTty) call.io.stderr.write("Reading the value from the terminal; end with ^D\n");
  return await readStdin(call.io);
}
