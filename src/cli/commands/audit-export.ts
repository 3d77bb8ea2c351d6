import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { finished } from "node:stream/promises";
import { path } from "../../config/mod.ts";
import { CofferError, exitCode } from "../../errors.ts";
import { ANY_RECORD, memberOption, oldestOf, onMembers } from "../audit-members.ts";
import { clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { type Io, write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { table } from "../print.ts";
import { filterOptions } from "./audit-search.ts";

export const auditExport: Command = clientCommand({
  name: "audit export",
  usage: "[--out FILE]",
  summary: "the whole audit trail with what coffer audit verify needs, one line of JSON each",
  examples: [
    ["coffer audit export --out trail.jsonl", "of the tenant, from all members"],
    ["coffer audit export --tenant system --out all.jsonl", "for operators: of all tenants"],
    ["coffer audit verify trail.jsonl", "whoever has the file can prove it, without a server"],
  ],
  options: {
    out: { name: "out", parser: path("FILE"), help: "a new file (standard output)" },
    ofTenant: filterOptions.ofTenant,
    member: memberOption,
  },
  arity: [0, 0],
  run: async (call) => {
    const { out, member, ofTenant: tenant = "" } = call.values;
    if (tenant !== "" && call.config.tenant !== "system") {
      throw mistake("--of-tenant is for operators: give --tenant system with it");
    }
    const file = out === undefined ? undefined : openOutput(out);
    const print = async (text: string): Promise<void> =>
      file === undefined ? write(call.io, text) : file.write(text);
    const isMissing = await onMembers(call, member, async (members) => {
      // Asked for first, so that the records reach as far as each of them.
      const { body: checkpoints } = await call.client.auditCheckpoints();
      const known = new Set<string>();
      for (const one of members) {
        for await (const lines of oldestOf(one, { ...ANY_RECORD, tenant })) {
          for (const line of lines) known.add(memberOf(line));
          await print(lines.map((line) => `${line}\n`).join(""));
        }
      }
      const ours = checkpoints.filter((line) => known.has(memberOf(line)));
      await print(ours.map((line) => `${line}\n`).join(""));
    });
    await file?.end();
    return isMissing ? exitCode.unavailable : exitCode.ok;
  },
});

const memberOf = (line: string): string => /"member":"([^"]*)"/.exec(line)?.[1] ?? "";

interface Output {
  write(text: string): Promise<void>;
  end(): Promise<void>;
}

/** A file that is not there yet, for its owner alone. */
function openOutput(name: string): Output {
  const stream = createWriteStream(name, { flags: "wx", mode: 0o600 });
  const failed = new Promise<never>((_, reject) => {
    stream.once("error", (error) =>
      reject(new CofferError("invalid-argument", `--out ${name}: ${outputProblem(error)}`)),
    );
  });
  failed.catch(() => undefined);
  return {
    write: async (text) => {
      if (!stream.write(text)) await Promise.race([once(stream, "drain"), failed]);
    },
    end: async () => {
      stream.end();
      await Promise.race([finished(stream), failed]);
    },
  };
}

export const auditCheckpoints: Command = clientCommand({
  name: "audit checkpoints",
  usage: "",
  summary: "the signed places in the audit chains; keep them elsewhere to prove a log complete",
  examples: [
    ["coffer audit checkpoints", "which record of which member was signed last, and by which key"],
    [
      "coffer audit checkpoints --tenant system -w json > kept.json",
      "what coffer audit verify --checkpoints takes",
    ],
  ],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.auditCheckpoints());
    const checkpoints = body.map((line) => JSON.parse(line) as Shown);
    if (call.format === "json") {
      const json = { header: headerJson(header), checkpoints: checkpoints.map(jsonOf) };
      await write(call.io, `${jsonText(json)}\n`);
      return;
    }
    await printTable(call.io, checkpoints);
  },
});

/** A checkpoint as the member tells it. */
interface Shown {
  readonly checkpoint: string;
  readonly member: string;
  readonly seq: number;
  readonly time: string;
  readonly keyId: string;
}

const jsonOf = (one: Shown): Json => ({ ...one });

async function printTable(io: Io, checkpoints: readonly Shown[]): Promise<void> {
  const rows = checkpoints.map(({ checkpoint, member, seq, time, keyId }) => [
    member,
    checkpoint,
    String(seq),
    time,
    keyId,
  ]);
  await write(io, table(["MEMBER", "KIND", "RECORD", "TIME", "KEY"], rows));
}

function outputProblem(error: NodeJS.ErrnoException): string {
  return error.code === "EEXIST" ? "the file is there already; name another" : error.message;
}
