import { X509Certificate } from "node:crypto";
import { list, onOff, text } from "../../config/mod.ts";
import { exitCode } from "../../errors.ts";
import { thumbprintOf } from "../certificate-file.ts";
import type { CertificateRuleRow, CertificateVerdictRow } from "../certificate-port.ts";
import { type Call, clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { inputFile } from "../input-file.ts";
import type { Io } from "../io.ts";
import { write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, table } from "../print.ts";

/** Rules of client certificates: who they are, and in which tenants. */

const names = list(text("NAME"));

const addOptions = {
  matchCn: {
    name: "match-cn",
    parser: text("TEXT"),
    help: "common name; exact, or its beginning and one * at the end",
  },
  matchO: { name: "match-o", parser: text("TEXT"), help: "one of its organizations, likewise" },
  matchOu: { name: "match-ou", parser: text("TEXT"), help: "one of its units, likewise" },
  matchUri: {
    name: "match-uri",
    parser: text("ID"),
    help: "SPIFFE id, as spiffe://domain/path; /* at the end stands for one segment or more",
  },
  authority: {
    name: "authority",
    parser: text("FILE|THUMBPRINT"),
    help: "who signed it; its certificates then go by rules only, never by the built-in one",
  },
  subject: {
    name: "subject",
    parser: text("cn|uri|TEXT"),
    help: "what follows cert: in its name (uri with --match-uri, else cn)",
  },
  groupsFrom: {
    name: "groups-from",
    parser: text("ou|o"),
    help: "the attribute that names groups",
  },
  groups: { name: "groups", parser: names, help: "groups of all that meet the rule" },
  tenants: {
    name: "tenants",
    parser: names,
    help: "tenants it is bound to, the first by default; '*': any, and the cluster itself",
  },
  refuse: {
    name: "refuse",
    parser: onOff,
    help: "refuse what meets the rule, in place of tenants",
  },
  replace: { name: "replace", parser: onOff, help: "take the place of the rule of that name" },
} as const;

const add: Command = clientCommand({
  name: "pki rule add",
  usage: "NAME [CONDITIONS] (--tenants T | --refuse)",
  summary: "say who the client certificates are that meet all conditions",
  examples: [
    [
      "coffer pki rule add team-blue --authority blue-ca.crt --tenants blue --groups-from ou",
      "all that another team's authority signs, in tenant blue",
    ],
    [
      "coffer pki rule add builds --match-uri 'spiffe://acme.org/ns/ci/*' --tenants blue,green",
      "workloads by their SPIFFE id: each is cert:spiffe://acme.org/ns/ci/...",
    ],
    [
      "coffer pki rule add default --refuse",
      "nobody who meets no other rule; add one for your own certificate first",
    ],
  ],
  options: addOptions,
  arity: [1, 1],
  run: async (call) => {
    const authority = authorityOf(call);
    const record = recordOf(call, authority.certificate);
    const replace = call.values.replace === true;
    const request = { record, authority: authority.thumbprint, replace };
    const { header, body } = await waitFor(call, call.client.certificateRuleAdd(request));
    const json = jsonText({ header: headerJson(header), rule: ruleJson(body) });
    const simple = `rule ${safe(body.name)} is in force`;
    await write(call.io, `${call.format === "json" ? json : simple}\n`);
  },
});

const listRules: Command = clientCommand({
  name: "pki rule list",
  usage: "",
  summary: "the rules of client certificates",
  examples: [["coffer pki rule list", "of those that a certificate meets, the narrowest decides"]],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.certificateRuleList());
    const json = jsonText({ header: headerJson(header), rules: body.map(ruleJson) });
    const rows = body.map(ruleRow);
    const simple = table(["NAME", "CONDITIONS", "SUBJECT", "GROUPS", "TENANTS"], rows);
    await write(call.io, call.format === "json" ? `${json}\n` : simple);
  },
});

const remove: Command = clientCommand({
  name: "pki rule remove",
  usage: "NAME",
  summary: "remove a rule",
  examples: [["coffer pki rule remove builds", "its certificates go by the other rules"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [name = ""] = call.positional;
    const { header } = await waitFor(call, call.client.certificateRuleRemove(name));
    const json = jsonText({ header: headerJson(header) });
    await write(call.io, `${call.format === "json" ? json : `rule ${safe(name)} is removed`}\n`);
  },
});

const test: Command = clientCommand({
  name: "pki rule test",
  usage: "FILE",
  summary: "which rule a certificate meets, and who it is by it",
  examples: [["coffer pki rule test client.crt", "exits with 4 if it would be refused"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [file = ""] = call.positional;
    const certificate = certificateOf(call.io, file).raw;
    const { header, body } = await waitFor(call, call.client.certificateTest(certificate));
    const json = jsonText({ header: headerJson(header), ...body });
    await write(call.io, call.format === "json" ? `${json}\n` : verdictText(body));
    return body.refusal === "" && body.distrust === "" ? exitCode.ok : exitCode.denied;
  },
});

type AddCall = Call<typeof addOptions>;

/** A thumbprint is one of the member's own --client-ca; a file is sent. */
function authorityOf(call: AddCall): {
  readonly thumbprint: string;
  readonly certificate: string | undefined;
} {
  const { authority } = call.values;
  if (authority === undefined) return { thumbprint: "", certificate: undefined };
  const thumbprint = thumbprintOf(authority);
  if (thumbprint !== undefined) return { thumbprint, certificate: undefined };
  return { thumbprint: "", certificate: certificateOf(call.io, authority).raw.toString("base64") };
}

function recordOf(call: AddCall, authority: string | undefined): Uint8Array {
  const { values, positional } = call;
  const { matchCn: cn, matchO: o, matchOu: ou, matchUri: uri, groupsFrom } = values;
  const record = {
    version: 1,
    name: positional[0],
    // JSON leaves out what is undefined.
    match: { cn, o, ou, uri, authority },
    subject: subjectOf(values.subject ?? (uri === undefined ? "cn" : "uri")),
    groupsFrom,
    groups: values.groups ?? [],
    tenants: tenantsOf(call),
  };
  return Buffer.from(JSON.stringify(record));
}

function subjectOf(subject: string): object {
  return subject === "cn" || subject === "uri"
    ? { kind: subject }
    : { kind: "fixed", name: subject };
}

function tenantsOf({ values }: AddCall): readonly string[] | "*" {
  const { tenants, refuse } = values;
  if ((tenants === undefined) !== (refuse === true)) {
    throw mistake("pki rule add needs either --tenants NAMES or --refuse");
  }
  if (tenants === undefined) return [];
  return tenants.length === 1 && tenants[0] === "*" ? "*" : tenants;
}

function certificateOf(io: Io, path: string): X509Certificate {
  const bytes = inputFile(io, path);
  try {
    return new X509Certificate(bytes);
  } catch {
    throw mistake(`${path}: holds no certificate in PEM or DER`);
  }
}

/** What the commands show of a record, which a server of a later version may have made. */
interface Shown {
  readonly match?: { readonly [field: string]: string };
  readonly subject?: { readonly kind: string; readonly name?: string };
  readonly groupsFrom?: string;
  readonly groups?: readonly string[];
  readonly tenants?: readonly string[] | "*";
}

function ruleJson({ record }: CertificateRuleRow): Json {
  return JSON.parse(record) as Json;
}

function ruleRow({ name, record }: CertificateRuleRow): readonly string[] {
  const { match = {}, subject, groupsFrom, groups = [], tenants } = JSON.parse(record) as Shown;
  const conditions = Object.entries(match).map(([field, value]) =>
    field === "authority" ? `authority=${authorityText(value)}` : `${field}=${value}`,
  );
  const from = groupsFrom === undefined ? [] : [`from ${groupsFrom}`];
  const bound = typeof tenants === "string" ? tenants : (tenants ?? []).join(",");
  return [
    name,
    conditions.join(" ") || "-",
    subject?.name ?? subject?.kind ?? "-",
    [...groups, ...from].join(",") || "-",
    bound === "" ? "refused" : bound,
  ].map(safe);
}

function authorityText(base64: string): string {
  try {
    return new X509Certificate(Buffer.from(base64, "base64")).subject.replaceAll("\n", ",");
  } catch {
    return "?";
  }
}

function verdictText(verdict: CertificateVerdictRow): string {
  const { rule, refusal, subject, groups, tenants, distrust } = verdict;
  const rows = [
    ["rule", rule || "-"],
    ...(refusal === ""
      ? [
          ["subject", subject],
          ["groups", groups.join(", ") || "-"],
          ["tenants", tenants.join(", ")],
        ]
      : [["refused", refusal]]),
    ["tls", distrust === "" ? "trusted by the member asked" : `may be refused: ${distrust}`],
  ];
  return rows.map(([name = "", value = ""]) => `${name.padEnd(8)} ${safe(value)}\n`).join("");
}

export const pkiRuleCommands: readonly Command[] = [add, listRules, remove, test];
