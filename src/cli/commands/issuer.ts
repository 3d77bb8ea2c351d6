import { duration, list, onOff, type Parser, path, text } from "../../config/mod.ts";
import { type Call, clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { inputFile } from "../input-file.ts";
import { write } from "../io.ts";
import { issuerRecordOf } from "../issuer-record.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, table } from "../print.ts";
import type { IssuerRow } from "../token-port.ts";

/** Given again for each: a value may hold commas. */
function each(placeholder: string): Parser<readonly string[]> {
  const item = text(placeholder);
  return {
    placeholder,
    kind: "list",
    parse: (value) => {
      const parsed = item.parse(value);
      return parsed.ok ? { ok: true, value: [parsed.value] } : parsed;
    },
  };
}

const names = list(text("NAME"));

const addOptions = {
  discovery: {
    name: "discovery",
    parser: onOff,
    help: "ask the issuer where its keys are (OpenID Connect)",
  },
  jwksUrl: { name: "jwks-url", parser: text("URL"), help: "fetch its keys here, by https" },
  jwksFile: { name: "jwks-file", parser: path("FILE"), help: "its keys, kept in the cluster" },
  ca: { name: "ca", parser: path("FILE"), help: "trust only these authorities for its keys, PEM" },
  audience: { name: "audience", parser: names, help: "one of these must be in aud" },
  algorithms: { name: "algorithms", parser: names, help: "signatures that count, as ES256" },
  tenants: { name: "tenants", parser: names, help: "tenants that its subjects belong to" },
  tenantsClaim: {
    name: "tenants-claim",
    parser: text("CLAIM"),
    help: "the claim that lists the tenants, of an issuer trusted to name any",
  },
  subjectClaim: {
    name: "subject-claim",
    parser: text("CLAIM"),
    help: "the claim that names the subject (sub)",
  },
  subjectPrefix: {
    name: "subject-prefix",
    parser: text("user:|sa:"),
    help: "what is put before it (user:)",
  },
  groupsClaim: {
    name: "groups-claim",
    parser: text("CLAIM"),
    help: "the claim that lists the groups (none)",
  },
  boundClaim: {
    name: "bound-claim",
    parser: each("NAME=VALUE"),
    help: "a claim that must be this text; NAME:=true or NAME:=7 for another type; repeat for more",
  },
  boundGlob: {
    name: "bound-glob",
    parser: each("NAME=GLOB"),
    help: "a claim that must match from end to end, * for any characters; repeat for more",
  },
  maxAge: {
    name: "max-age",
    parser: duration({ min: 1000 }),
    help: "longest life of a token (1h)",
  },
  clockTolerance: {
    name: "clock-tolerance",
    parser: duration({ max: 30_000 }),
    help: "how far its clock may be off (30s)",
  },
  kubernetesAccount: {
    name: "kubernetes-account",
    parser: list(text("NS/NAME/UID")),
    help: "service accounts that count, and no others, by namespace and uid",
  },
  file: {
    name: "file",
    parser: path("FILE"),
    help: "the whole record, JSON, in place of the rest",
  },
  replace: { name: "replace", parser: onOff, help: "take the place of the record that is there" },
} as const;

const add: Command = clientCommand({
  name: "issuer add",
  usage:
    "ISSUER (--discovery | --jwks-url URL | --jwks-file FILE) --audience A --algorithms ES256 " +
    "(--tenants T | --tenants-claim C) | --file RECORD",
  summary: "take tokens of an issuer",
  examples: [
    [
      "coffer issuer add https://id.example --discovery --audience coffer --algorithms RS256 " +
        "--tenants blue --groups-claim groups",
      "everybody at id.example is a user of tenant blue, in the groups that it says",
    ],
    [
      "coffer issuer add https://token.actions.githubusercontent.com --discovery " +
        "--audience coffer --algorithms RS256 --tenants blue --subject-prefix sa: " +
        "--bound-claim repository=acme/app --bound-glob 'ref=refs/heads/release-*'",
      "the builds of one repository on its release branches, and no others",
    ],
    [
      "coffer issuer add https://kubernetes.default.svc --jwks-file jwks.json " +
        "--audience coffer --algorithms RS256 --tenants blue --max-age 2h " +
        "--kubernetes-account app/web/0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0",
      "one service account; made anew under its name it is another",
    ],
  ],
  options: addOptions,
  arity: [0, 1],
  run: async (call) => {
    const record = recordOf(call);
    const request = { record, replace: call.values.replace === true };
    const { header, body } = await waitFor(call, call.client.issuerAdd(request));
    const json = jsonText({ header: headerJson(header), issuer: issuerJson(body) });
    const simple = `tokens of ${safe(body.issuer)} are taken`;
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
  },
});

const listIssuers: Command = clientCommand({
  name: "issuer list",
  usage: "",
  summary: "whose tokens are taken",
  examples: [["coffer issuer list", "and whether the member that answers has their keys"]],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.issuerList());
    const json = jsonText({ header: headerJson(header), issuers: body.map(issuerJson) });
    const rows = body.map(({ issuer, isBuiltin, keys, failure }) => [
      safe(issuer),
      isBuiltin ? "built in" : "added",
      String(keys),
      failure === "" ? "-" : safe(failure),
    ]);
    const simple = table(["ISSUER", "ORIGIN", "KEYS", "FAILURE"], rows);
    await write(call.io, call.format === "json" ? `${json}\n` : simple);
  },
});

const show: Command = clientCommand({
  name: "issuer show",
  usage: "ISSUER",
  summary: "the record of an issuer, as issuer add --file takes it",
  examples: [["coffer issuer show https://id.example > id.json", "edit it, and add it --replace"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [issuer = ""] = call.positional;
    const { header, body } = await waitFor(call, call.client.issuerShow(issuer));
    const json = jsonText({ header: headerJson(header), issuer: issuerJson(body) });
    const record = JSON.stringify(JSON.parse(body.record), undefined, 2);
    await write(call.io, `${call.format === "json" ? json : record}\n`);
  },
});

const remove: Command = clientCommand({
  name: "issuer remove",
  usage: "ISSUER",
  summary: "take no tokens of an issuer any more; its watches end",
  examples: [["coffer issuer remove https://id.example", "from now on, on all members"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [issuer = ""] = call.positional;
    const { header } = await waitFor(call, call.client.issuerRemove(issuer));
    const json = jsonText({ header: headerJson(header) });
    const simple = `tokens of ${safe(issuer)} are refused`;
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
  },
});

function recordOf(call: Call<typeof addOptions>): Uint8Array {
  const [issuer] = call.positional;
  const { file, replace: _, ...values } = call.values;
  if (file === undefined) {
    if (issuer === undefined) throw mistake("issuer add needs the issuer, as its tokens spell it");
    const record = issuerRecordOf(issuer, values, (path) => inputFile(call.io, path));
    return Buffer.from(JSON.stringify(record), "utf8");
  }
  if (issuer !== undefined || Object.values(values).some((value) => value !== undefined)) {
    throw mistake("--file holds the whole record: give nothing else but --replace");
  }
  return inputFile(call.io, file);
}

function issuerJson({ issuer, record, isBuiltin, keys, failure }: IssuerRow): Json {
  return { issuer, builtin: isBuiltin, keys, failure, record: JSON.parse(record) as Json };
}

export const issuerCommands: readonly Command[] = [add, listIssuers, show, remove];
