import { type Parser, path, text } from "../../config/mod.ts";
import { readCertificate, thumbprintOf } from "../certificate-file.ts";
import { type Call, clientCommand, type Command, tableFormatOption, waitFor } from "../command.ts";
import { inputFile } from "../input-file.ts";
import { readStdin, write } from "../io.ts";
import { headerJson, type Json, jsonText } from "../json.ts";
import { mistake } from "../keys.ts";
import { safe, table, timeText } from "../print.ts";
import type { Revocation, RevocationTarget } from "../token-port.ts";

/** Seconds since the epoch, from RFC 3339 or seconds; 0 is the server's now. */
const time: Parser<number> = {
  placeholder: "TIME",
  kind: "text",
  parse: (value) => {
    if (value === "now") return { ok: true, value: 0 };
    if (/^[0-9]{9,11}$/.test(value)) return { ok: true, value: Number(value) };
    const parsed = /^\d{4}-\d{2}-\d{2}/.test(value) ? Date.parse(value) : Number.NaN;
    if (parsed > 0) return { ok: true, value: Math.floor(parsed / 1000) };
    return { ok: false, error: "is not a time: now, 2026-11-22T17:00:00Z, or seconds since 1970" };
  },
};

const targetOptions = {
  jti: { name: "jti", parser: text("ID"), help: "one token, by its id" },
  subject: {
    name: "subject",
    parser: text("SUBJECT"),
    help: "what a subject holds, as user:alice or cert:web",
  },
  issuer: {
    name: "issuer",
    parser: text("ISSUER"),
    help: "of this issuer; with --jti the built-in one, with --subject any",
  },
  issuedBefore: {
    name: "issued-before",
    parser: time,
    help: "what was issued until this time (now)",
  },
  certificate: {
    name: "certificate",
    parser: text("FILE|SHA256"),
    help: "a client certificate, and all that comes over its connections",
  },
  tokenFile: {
    name: "token-file",
    parser: path("FILE"),
    help: "the token in this file, or in stdin with -; it is not what you show yourself with",
  },
} as const;

type TargetCall = Call<typeof targetOptions>;

const revoke: Command = clientCommand({
  name: "token revoke",
  usage: "--jti ID | --subject SUBJECT | --issuer I --issued-before TIME | --certificate FILE",
  summary: "make tokens or a certificate worthless, on all members within a second",
  examples: [
    ["coffer token revoke --jti 4f6c0c3e-7d8a-4b61-9c6e-2f1d3a5b7c9e", "one token"],
    ["coffer token revoke --token-file - < found.token", "the token that you found"],
    [
      "coffer token revoke --subject user:alice",
      "all that alice holds now, not what she gets later",
    ],
    [
      "coffer token revoke --issuer https://id.example --issued-before 2026-11-22T17:00:00Z",
      "the issuer was broken into until five",
    ],
    ["coffer token revoke --certificate laptop.crt --tenant blue", "a certificate, in one tenant"],
  ],
  options: targetOptions,
  arity: [0, 0],
  run: async (call) => {
    const { target, certificateEnds } = await targetOf(call);
    const request = { target, certificateEnds };
    const { header, body } = await waitFor(call, call.client.tokenRevoke(request));
    const { tenant, revocation } = body;
    const json = { header: headerJson(header), tenant, revocation: revocationJson(revocation) };
    const simple = `revoked ${whereOf(tenant)}: ${whatOf(revocation.target)}\nid: ${revocation.id}`;
    await write(call.io, `${call.format === "json" ? jsonText(json) : simple}\n`);
  },
});

const list: Command = clientCommand({
  name: "token revocations",
  usage: "",
  summary: "what is revoked, in the cluster or with --tenant in a tenant",
  examples: [["coffer token revocations --tenant blue", "what tenant blue has revoked for itself"]],
  options: { format: tableFormatOption },
  arity: [0, 0],
  run: async (call) => {
    const { header, body } = await waitFor(call, call.client.tokenRevocations());
    const revocations = body.revocations.map(revocationJson);
    const json = { header: headerJson(header), tenant: body.tenant, revocations };
    const rows = body.revocations.map(({ id, target, by, created, expires }) => [
      id,
      timeText(created),
      safe(by),
      timeText(expires),
      whatOf(target),
    ]);
    const simple = table(["ID", "CREATED", "BY", "FORGOTTEN", "REVOKED"], rows);
    await write(call.io, call.format === "json" ? `${jsonText(json)}\n` : simple);
  },
});

const unrevoke: Command = clientCommand({
  name: "token unrevoke",
  usage: "ID",
  summary: "take a revocation back",
  examples: [["coffer token unrevoke 5f0c6b7e1a2d3c4b5a69788796a5b4c3", "an id of the list"]],
  options: {},
  arity: [1, 1],
  run: async (call) => {
    const [id = ""] = call.positional;
    const { header, body } = await waitFor(call, call.client.tokenUnrevoke(id));
    const { tenant, revocation } = body;
    const json = { header: headerJson(header), tenant, revocation: revocationJson(revocation) };
    const simple = `good again ${whereOf(tenant)}: ${whatOf(revocation.target)}`;
    await write(call.io, `${call.format === "json" ? jsonText(json) : simple}\n`);
  },
});

interface Wanted {
  readonly target: RevocationTarget;
  readonly certificateEnds: number;
}

async function targetOf(call: TargetCall): Promise<Wanted> {
  const { jti, subject, issuer = "", issuedBefore, certificate, tokenFile } = call.values;
  const named = [jti, subject, certificate, tokenFile].filter((one) => one !== undefined);
  if (named.length > 1) {
    throw mistake("name one of --jti, --subject, --certificate and --token-file");
  }
  if (issuedBefore !== undefined && named.length > 0 && subject === undefined) {
    throw mistake("--issued-before goes with --subject or --issuer");
  }
  if (issuer !== "" && (certificate ?? tokenFile) !== undefined) {
    throw mistake("--issuer goes with --jti, --subject or --issued-before");
  }
  const ofTokens = (target: RevocationTarget): Wanted => ({ target, certificateEnds: 0 });
  if (tokenFile !== undefined) return ofTokens(await tokenTarget(call, tokenFile));
  if (jti !== undefined) return ofTokens({ kind: "token", issuer, tokenId: jti });
  if (subject !== undefined) {
    return ofTokens({ kind: "subject", issuer, subject, issuedBefore: issuedBefore ?? 0 });
  }
  if (certificate !== undefined) return certificateTarget(call, certificate);
  if (issuer !== "" && issuedBefore !== undefined) {
    return ofTokens({ kind: "issuer", issuer, issuedBefore });
  }
  throw mistake(
    "name what to revoke: --jti ID, --subject SUBJECT, --certificate FILE, --token-file FILE, or " +
      "--issuer ISSUER --issued-before TIME",
  );
}

function certificateTarget(call: TargetCall, name: string): Wanted {
  const thumbprint = thumbprintOf(name);
  if (thumbprint !== undefined) {
    return { target: { kind: "certificate", thumbprint }, certificateEnds: 0 };
  }
  const file = readCertificate(call.io, name);
  const target = { kind: "certificate", thumbprint: file.thumbprint } as const;
  return { target, certificateEnds: file.notAfter };
}

/** The token is read, not verified: whoever may revoke may name any. */
async function tokenTarget(call: TargetCall, file: string): Promise<RevocationTarget> {
  const token = Buffer.from(file === "-" ? await readStdin(call.io) : inputFile(call.io, file));
  // The token itself must not be in a message.
  const bad = (problem: string): Error => mistake(`${file === "-" ? "stdin" : file}: ${problem}`);
  const payload = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(token.toString("latin1").trim())?.[1];
  if (payload === undefined) throw bad("does not hold a token");
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  } catch {
    throw bad("does not hold a token");
  }
  const { iss, jti } = (claims ?? {}) as { readonly iss?: unknown; readonly jti?: unknown };
  if (typeof iss !== "string" || iss === "") throw bad("the token has no issuer");
  if (typeof jti !== "string" || jti === "") {
    throw bad("the token has no jti, so it is revoked by --subject or by --issuer --issued-before");
  }
  return { kind: "token", issuer: iss, tokenId: jti };
}

function whereOf(tenant: string): string {
  return tenant === "" ? "in all tenants" : `in tenant ${safe(tenant)}`;
}

function whatOf(target: RevocationTarget): string {
  switch (target.kind) {
    case "token":
      return `token ${safe(target.tokenId)} of ${safe(target.issuer)}`;
    case "subject": {
      const of = target.issuer === "" ? "any issuer" : safe(target.issuer);
      return `${safe(target.subject)} of ${of}, issued until ${secondsText(target.issuedBefore)}`;
    }
    case "issuer": {
      return `all of ${safe(target.issuer)}, issued until ${secondsText(target.issuedBefore)}`;
    }
    case "certificate":
      return `certificate ${safe(target.thumbprint)}`;
  }
}

function secondsText(seconds: number): string {
  return timeText(seconds * 1000);
}

function revocationJson({ id, target, by, created, expires }: Revocation): Json {
  return { id, ...targetJson(target), by, created, expires };
}

function targetJson(target: RevocationTarget): { readonly [name: string]: Json } {
  const { kind } = target;
  switch (target.kind) {
    case "token":
      return { kind, issuer: target.issuer, jti: target.tokenId };
    case "subject": {
      const { issuer, subject, issuedBefore } = target;
      return { kind, issuer, subject, issued_before: issuedBefore };
    }
    case "issuer":
      return { kind, issuer: target.issuer, issued_before: target.issuedBefore };
    case "certificate":
      return { kind, thumbprint: target.thumbprint };
  }
}

export const revocationCommands: readonly Command[] = [revoke, list, unrevoke];
