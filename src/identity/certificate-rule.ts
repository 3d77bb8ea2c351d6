import { isTenantName } from "../core/types/mod.ts";
import { X509Certificate } from "node:crypto";
import { CofferError } from "../errors.ts";
import { certificateSubject, GROUPS_MAX, prefixedName, TENANTS_MAX } from "./names.ts";
import { refusalReason } from "./refusal.ts";
import { faultOfSpiffePattern } from "./spiffe-id.ts";
import { isJsonObject, type JsonObject, parseStrictJson, stringsOf } from "./strict-json.ts";

/**
 * Who the client certificates are that meet all conditions of a rule. A text condition is the exact
 * text, or its beginning with one star behind it.
 */
export interface CertificateRule {
  readonly version: 1;
  readonly name: string;
  readonly match: CertificateMatch;
  readonly subject: CertificateSubject;
  /** The attribute whose values are groups, beside `groups`. */
  readonly groupsFrom: "o" | "ou" | undefined;
  readonly groups: readonly string[];
  /** The first is the default; "*": any, and the system scope. None: the certificates are refused. */
  readonly tenants: readonly string[] | "*";
}

export interface CertificateMatch {
  /** Of a subject with one common name. */
  readonly cn?: string;
  /** One of the organizations; one of the organizational units. */
  readonly o?: string;
  readonly ou?: string;
  /** A SPIFFE id; its star stands for whole segments. */
  readonly uri?: string;
  /** DER in base64 of the certificate of the authority that signed the client's. */
  readonly authority?: string;
}

export type CertificateSubject =
  /** `cert:` and the common name. */
  | { readonly kind: "cn" }
  /** `cert:` and the SPIFFE id. */
  | { readonly kind: "uri" }
  /** `cert:` and this. */
  | { readonly kind: "fixed"; readonly name: string };

/** The one rule without conditions: for certificates that meet no other, in the built-in's place. */
export const DEFAULT_RULE = "default";

/** What stands for it as long as there is none: no rule of an operator's. */
export const BUILT_IN_RULE = "built-in";

const RECORD_BYTES_MAX = 32 * 1024;
const PATTERN_CHARS_MAX = 256;
const TEXT_CONDITIONS = ["cn", "o", "ou"] as const;

/** The rule in a stored JSON text. Throws `invalid-argument` naming the field. */
export function parseCertificateRule(bytes: Uint8Array): CertificateRule {
  return validateCertificateRule(readJson(bytes));
}

function readJson(bytes: Uint8Array): JsonObject {
  if (bytes.length > RECORD_BYTES_MAX) throw wrong("", "is longer than 32 KiB");
  try {
    return parseStrictJson(bytes);
  } catch (cause) {
    throw wrong("", cause instanceof Error ? `is ${cause.message}` : "is not JSON");
  }
}

/** The same text with the certificate (DER) of an authority among its conditions. */
export function withCertificateAuthority(bytes: Uint8Array, authority: Uint8Array): Uint8Array {
  const json = readJson(bytes);
  const { match } = json;
  const conditions = isJsonObject(match) ? match : {};
  const base64 = Buffer.from(authority).toString("base64");
  const text = JSON.stringify({ ...json, match: { ...conditions, authority: base64 } });
  return new TextEncoder().encode(text);
}

/** The bytes that `parseCertificateRule` reads. */
export function encodeCertificateRule(rule: CertificateRule): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(rule));
}

/** Checks every field; unknown ones are refused. Throws `invalid-argument`. */
function validateCertificateRule(json: JsonObject): CertificateRule {
  const known = ["version", "name", "match", "subject", "groupsFrom", "groups", "tenants"];
  allowOnly("", json, known);
  if (json["version"] !== 1) throw wrong("version", "must be 1, the only one this Coffer knows");
  const { name } = json;
  if (typeof name !== "string" || !isTenantName(name)) {
    throw wrong("name", "must be 1 to 63 of a-z, 0-9 and '-', beginning and ending without '-'");
  }
  if (name === BUILT_IN_RULE) throw wrong("name", `"${BUILT_IN_RULE}" is not free`);
  const match = matchOf(json["match"]);
  checkConditions(name, match);
  const subject = subjectOf(json["subject"]);
  if (subject.kind === "uri" && match.uri === undefined) {
    throw wrong("subject", "is the SPIFFE id, which needs a condition on the URI (--match-uri)");
  }
  const { groupsFrom } = json;
  if (groupsFrom !== undefined && groupsFrom !== "o" && groupsFrom !== "ou") {
    throw wrong("groupsFrom", "must be o or ou");
  }
  const groups = listOf("groups", json["groups"], GROUPS_MAX);
  for (const group of groups) {
    checkName("groups", () => prefixedName("group:", group, JSON.stringify(group)));
  }
  const tenants = tenantsOf(json["tenants"]);
  return { version: 1, name, match, subject, groupsFrom, groups, tenants };
}

/** A rule that matches everything under another name would be met by mistake. */
function checkConditions(name: string, match: CertificateMatch): void {
  const hasNone = Object.keys(match).length === 0;
  if (hasNone && name !== DEFAULT_RULE) {
    throw wrong("match", `has no condition; only the rule "${DEFAULT_RULE}" may be without`);
  }
  if (!hasNone && name === DEFAULT_RULE) {
    throw wrong(
      "match",
      `has a condition; the rule "${DEFAULT_RULE}" is for all that meet no other`,
    );
  }
}

function matchOf(value: JsonObject[string]): CertificateMatch {
  if (!isJsonObject(value)) throw wrong("match", "must be an object");
  allowOnly("match.", value, [...TEXT_CONDITIONS, "uri", "authority"]);
  const { uri, authority } = value;
  const texts = TEXT_CONDITIONS.flatMap((field) =>
    value[field] === undefined ? [] : [[field, patternOf(`match.${field}`, value[field])] as const],
  );
  return {
    ...Object.fromEntries(texts),
    ...(uri === undefined ? {} : { uri: spiffePatternOf(uri) }),
    ...(authority === undefined ? {} : { authority: authorityOf(authority) }),
  };
}

function patternOf(field: string, value: unknown): string {
  if (typeof value !== "string" || value === "" || value.length > PATTERN_CHARS_MAX) {
    throw wrong(field, `must be a text of 1 to ${PATTERN_CHARS_MAX} characters`);
  }
  const star = value.indexOf("*");
  if (star >= 0 && star < value.length - 1) {
    throw wrong(field, "may hold one star only, as its last character");
  }
  return value;
}

function spiffePatternOf(value: unknown): string {
  if (typeof value !== "string") throw wrong("match.uri", "must be a text");
  const fault = faultOfSpiffePattern(value);
  if (fault !== undefined) throw wrong("match.uri", `${fault}; say spiffe://domain/path or .../*`);
  return value;
}

function authorityOf(value: unknown): string {
  if (typeof value === "string") {
    try {
      const certificate = new X509Certificate(Buffer.from(value, "base64"));
      // One spelling, by which rules are compared.
      if (certificate.ca) return certificate.raw.toString("base64");
    } catch {
      throw wrong("match.authority", "is no certificate");
    }
  }
  throw wrong("match.authority", "is not an authority's certificate (CA:true)");
}

function subjectOf(value: JsonObject[string]): CertificateSubject {
  if (!isJsonObject(value)) throw wrong("subject", "must be an object");
  const { kind, name } = value;
  allowOnly("subject.", value, kind === "fixed" ? ["kind", "name"] : ["kind"]);
  if (kind === "cn" || kind === "uri") return { kind };
  if (kind !== "fixed" || typeof name !== "string")
    throw wrong("subject", "must be cn, uri or TEXT");
  checkName("subject", () => certificateSubject(name, JSON.stringify(name)));
  return { kind, name };
}

/** The rules of names are those of what certificates themselves hold. */
function checkName(field: string, check: () => void): void {
  try {
    check();
  } catch (cause) {
    throw wrong(field, refusalReason(cause) ?? "is refused");
  }
}

function tenantsOf(value: unknown): readonly string[] | "*" {
  if (value === "*") return "*";
  const names = listOf("tenants", value as JsonObject[string], TENANTS_MAX);
  const bad = names.find((name) => !isTenantName(name));
  if (bad === undefined) return names;
  throw wrong("tenants", `${JSON.stringify(bad)} is not a tenant name; a star stands alone`);
}

function listOf(field: string, value: JsonObject[string], most: number): readonly string[] {
  const names = stringsOf(value);
  if (names === undefined || names.length > most || new Set(names).size !== names.length) {
    throw wrong(field, `must be a list of at most ${most} texts, each once`);
  }
  return names;
}

function allowOnly(path: string, json: JsonObject, known: readonly string[]): void {
  const other = Object.keys(json).find((name) => !known.includes(name));
  if (other !== undefined) throw wrong(`${path}${other}`, "is not known");
}

function wrong(field: string, problem: string): CofferError {
  const what = field === "" ? "the certificate rule" : `the certificate rule's ${field}`;
  return new CofferError("invalid-argument", `${what} ${problem}`);
}
