import { clientCommand, type Command, waitFor } from "../command.ts";
import { readStdin, write } from "../io.ts";
import { headerJson, jsonText, txnJson } from "../json.ts";
import { joinPieces, txnPieces } from "../print.ts";
import { parseTxn } from "../txn-grammar.ts";

export const txn: Command = clientCommand({
  name: "txn",
  usage: "< REQUESTS",
  summary: "read a transaction from stdin: compares, then what to do on success, and on failure",
  examples: [
    [
      `printf 'mod("/lock") = "0"\\n\\nput /lock me\\n\\nget /lock\\n' | coffer txn`,
      "take a lock if it is free, else show who has it",
    ],
    [
      `printf 'value("/app/v") = "1"\\n\\nput /app/v 2\\ndel /app/old\\n\\n' | coffer txn`,
      "change two keys at once, if a value is what is thought",
    ],
    [
      `printf 'ver("k") > "1"\\ncreate("k") < "9"\\n\\nget k --rev 3\\n\\n\\n' | coffer txn`,
      'targets: create mod version value lease; operators: = != < >; strings as in "a\\n\\x41"',
    ],
  ],
  options: {},
  arity: [0, 0],
  run: async (call) => {
    if (call.io.isTty) call.io.stderr.write("Compares, an empty line, requests, and so on; ^D\n");
    const input = await readStdin(call.io);
    const request = parseTxn(Buffer.from(input).toString("utf8"));
    const reply = await waitFor(call, call.client.txn(request));
    if (call.format === "json") {
      const json = { header: headerJson(reply.header), ...txnJson(reply.body) };
      return await write(call.io, `${jsonText(json)}\n`);
    }
    await write(call.io, joinPieces(txnPieces(reply.body)));
  },
});
