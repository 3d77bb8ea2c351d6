import { isTenantName } from "../core/types/mod.ts";
import { X509Certificate } from "node:crypto";
import { CofferError } from "../errors.ts";
import { isPlainName, isReserved, TENANTS_MAX } from "./names.ts";
import { isJsonObject, type JsonObject, parseStrictJson, stringsOf } from "./strict-json.ts";

/** Signatures that may be asked for: asymmetric ones only (RFC 7518 §3.1, RFC 8037, RFC 9864). */
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

export const SIGNATURE_ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
] as const;

/** Where an issuer's public keys (a JWK set, RFC 7517 §5) come from. */
export type IssuerKeys =
  | { readonly kind: "inline"; readonly keys: readonly JsonObject[] }
  | { readonly kind: "file"; readonly path: string }
  /** `ca`: PEM certificates to trust instead of the system's. */
  | { readonly kind: "url"; readonly url: string; readonly ca?: string }
  /** The URL is in the issuer's own configuration document (OpenID Connect Discovery 1.0 §4). */
  | { readonly kind: "discovery"; readonly ca?: string };

/**
 * What a claim must be: this very text, number or truth value and of this very type, or a text that a
 * glob matches whole, in which `*` stands for any characters.
 */
export type BoundClaim = string | number | boolean | { readonly glob: string };

export type TenantBinding =
  /** All of the issuer's subjects belong to these; the first is the default. */
  | { readonly kind: "fixed"; readonly tenants: readonly string[] }
  /**
   * A claim holds the list. For an issuer that is trusted to choose any tenant's name; `any` lets
   * the list be `["*"]`, which is every tenant and the system scope.
   */
  | { readonly kind: "claim"; readonly claim: string; readonly any: boolean };

export type SubjectRule =
  /** `prefix` + the claim. */
  | { readonly kind: "prefix"; readonly claim: string; readonly prefix: "user:" | "sa:" }
  /** The claim spells its own prefix: the built-in issuer. */
  | { readonly kind: "own"; readonly claim: string }
  /** Kubernetes service accounts: `sa:namespace/name`, of these accounts only, by uid. */
  | { readonly kind: "kubernetes"; readonly accounts: readonly ServiceAccount[] };

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** How the tokens of one issuer are judged (security.md section 3). */
export interface IssuerRecord {
  readonly version: 1;
  /** The exact `iss`. */
  readonly issuer: string;
  readonly keys: IssuerKeys;
  readonly algorithms: readonly SignatureAlgorithm[];
  /** One of them must be in `aud`. */
  readonly audience: readonly string[];
  /** The longest time from `iat` to `exp`, and to now. Seconds. */
  readonly maxAgeSeconds: number;
  /** 0 to 30. */
  readonly clockToleranceSeconds: number;
  readonly tenants: TenantBinding;
  readonly subject: SubjectRule;
  /** The claim whose strings are the groups; "": none. */
  readonly groupsClaim: string;
  /** Claims that must be there, and what they must be. */
  readonly boundClaims: Readonly<Record<string, BoundClaim>>;
}

/** What stands in a principal's issuer where there is no token. */
const NOT_ISSUERS: ReadonlySet<string> = new Set(["certificate", "anonymous"]);

const RECORD_BYTES_MAX = 128 * 1024;
const TEXT_CHARS_MAX = 1024;
const CLOCK_TOLERANCE_SECONDS_MAX = 30;
export const MAX_AGE_SECONDS_MAX: number = 366 * 24 * 3600;

/** The record in a stored or configured JSON text. Throws `invalid-argument` naming the field. */
export function parseIssuerRecord(bytes: Uint8Array): IssuerRecord {
  if (bytes.length > RECORD_BYTES_MAX) throw wrong("", "is longer than 128 KiB");
  let json: JsonObject;
  try {
    json = parseStrictJson(bytes);
  } catch (cause) {
    throw wrong("", cause instanceof Error ? `is ${cause.message}` : "is not JSON");
  }
  return validateIssuerRecord(json);
}

/** The bytes that `parseIssuerRecord` reads. */
export function encodeIssuerRecord(record: IssuerRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/**
 * Checks every field of a record; unknown fields are refused, since a misspelt `audience` must not
 * switch a check off. Throws `invalid-argument`.
 */
export function validateIssuerRecord(json: JsonObject): IssuerRecord {
  allowOnly("", json, [
    "version",
    "issuer",
    "keys",
    "algorithms",
    "audience",
    "maxAgeSeconds",
    "clockToleranceSeconds",
    "tenants",
    "subject",
    "groupsClaim",
    "boundClaims",
  ]);
  if (json["version"] !== 1) throw wrong("version", "must be 1, the only one this Coffer knows");
  const algorithms = list("algorithms", json["algorithms"]).map(algorithmOf);
  const audience = list("audience", json["audience"]);
  const issuer = text("issuer", json["issuer"]);
  if (NOT_ISSUERS.has(issuer)) throw wrong("issuer", "is a word that Coffer uses for itself");
  return {
    version: 1,
    issuer,
    keys: keysOf(issuer, json["keys"]),
    algorithms,
    audience,
    maxAgeSeconds: seconds("maxAgeSeconds", json["maxAgeSeconds"], 1, MAX_AGE_SECONDS_MAX),
    clockToleranceSeconds: seconds(
      "clockToleranceSeconds",
      json["clockToleranceSeconds"] ?? CLOCK_TOLERANCE_SECONDS_MAX,
      0,
      CLOCK_TOLERANCE_SECONDS_MAX,
    ),
    tenants: tenantsOf(json["tenants"]),
    subject: subjectOf(json["subject"]),
    groupsClaim:
      json["groupsClaim"] === undefined ? "" : anyText("groupsClaim", json["groupsClaim"]),
    boundClaims: boundClaimsOf(json["boundClaims"]),
  };
}

function keysOf(issuer: string, value: unknown): IssuerKeys {
  const json = object("keys", value);
  switch (json["kind"]) {
    case "inline": {
      allowOnly("keys", json, ["kind", "keys"]);
      const keys: unknown = json["keys"];
      if (!Array.isArray(keys)) throw wrong("keys.keys", "must be a list of JWKs");
      return { kind: "inline", keys: keys.map((key) => object("keys.keys", key)) };
    }
    case "file":
      allowOnly("keys", json, ["kind", "path"]);
      return { kind: "file", path: text("keys.path", json["path"]) };
    case "url":
      allowOnly("keys", json, ["kind", "url", "ca"]);
      return {
        kind: "url",
        url: urlText("keys.url", text("keys.url", json["url"])),
        ...authorityOf(json["ca"]),
      };
    case "discovery":
      allowOnly("keys", json, ["kind", "ca"]);
      discoveryUrl(issuer);
      return { kind: "discovery", ...authorityOf(json["ca"]) };
    default:
      throw wrong("keys.kind", "must be inline, file, url or discovery");
  }
}

function authorityOf(ca: JsonObject[string]): { readonly ca?: string } {
  if (ca === undefined) return {};
  if (typeof ca !== "string" || !isCertificate(ca)) {
    throw wrong("keys.ca", "must be certificates in PEM");
  }
  return { ca };
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

/**
 * Where an issuer tells of itself: its own name, without a slash at the end, and the well-known path
 * (OpenID Connect Discovery 1.0 §4). Throws `invalid-argument` for an issuer that is no such URL.
 */
export function discoveryUrl(issuer: string): string {
  const url = new URL(urlText("issuer", issuer));
  if (url.search !== "" || url.hash !== "") {
    throw wrong("issuer", "must be a URL without query and fragment to be discovered");
  }
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}

function urlText(field: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol)) {
    throw wrong(field, "must be an https URL");
  }
  if (url.username !== "" || url.password !== "") {
    throw wrong(field, "must not hold a user name or password");
  }
  return text;
}

function tenantsOf(value: unknown): TenantBinding {
  const json = object("tenants", value);
  switch (json["kind"]) {
    case "fixed": {
      allowOnly("tenants", json, ["kind", "tenants"]);
      const tenants = list("tenants.tenants", json["tenants"]);
      if (!tenants.every(isTenantName) || tenants.length > TENANTS_MAX) {
        throw wrong("tenants.tenants", `must be at most ${TENANTS_MAX} tenant names`);
      }
      return { kind: "fixed", tenants };
    }
    case "claim": {
      allowOnly("tenants", json, ["kind", "claim", "any"]);
      const any = json["any"] ?? false;
      if (typeof any !== "boolean") throw wrong("tenants.any", "must be true or false");
      return { kind: "claim", claim: text("tenants.claim", json["claim"]), any };
    }
    default:
      throw wrong("tenants.kind", "must be fixed or claim");
  }
}

function subjectOf(value: unknown): SubjectRule {
  if (value === undefined) return { kind: "prefix", claim: "sub", prefix: "user:" };
  const json = object("subject", value);
  switch (json["kind"]) {
    case "prefix": {
      allowOnly("subject", json, ["kind", "claim", "prefix"]);
      const { prefix } = json;
      if (prefix !== "user:" && prefix !== "sa:") {
        throw wrong("subject.prefix", "must be user: or sa:");
      }
      return { kind: "prefix", claim: text("subject.claim", json["claim"]), prefix };
    }
    case "own":
      allowOnly("subject", json, ["kind", "claim"]);
      return { kind: "own", claim: text("subject.claim", json["claim"]) };
    case "kubernetes": {
      allowOnly("subject", json, ["kind", "accounts"]);
      const accounts: unknown = json["accounts"];
      if (!Array.isArray(accounts) || accounts.length === 0) {
        throw wrong("subject.accounts", "must be a list of service accounts");
      }
      return { kind: "kubernetes", accounts: accounts.map(accountOf) };
    }
    default:
      throw wrong("subject.kind", "must be prefix, own or kubernetes");
  }
}

function accountOf(value: unknown): ServiceAccount {
  const json = object("subject.accounts", value);
  allowOnly("subject.accounts", json, ["namespace", "name", "uid"]);
  const part = (name: string): string => {
    const field = text(`subject.accounts.${name}`, json[name]);
    if (!isPlainName(field) || isReserved(field) || field.includes("/")) {
      throw wrong(`subject.accounts.${name}`, "is not a Kubernetes name");
    }
    return field;
  };
  return { namespace: part("namespace"), name: part("name"), uid: part("uid") };
}

function boundClaimsOf(value: unknown): Readonly<Record<string, BoundClaim>> {
  if (value === undefined) return {};
  const json = object("boundClaims", value);
  return Object.fromEntries(
    Object.entries(json).map(([name, claim]) => [name, boundClaimOf(`boundClaims.${name}`, claim)]),
  );
}

function boundClaimOf(field: string, value: JsonObject[string]): BoundClaim {
  if (typeof value === "boolean" || typeof value === "number") return value;
  if (!isJsonObject(value)) return text(field, value);
  allowOnly(field, value, ["glob"]);
  return { glob: text(field, value["glob"]) };
}

function algorithmOf(name: string): SignatureAlgorithm {
  const known = SIGNATURE_ALGORITHMS.find((algorithm) => algorithm === name);
  if (known === undefined) {
    throw wrong("algorithms", `may only hold ${SIGNATURE_ALGORITHMS.join(", ")}`);
  }
  return known;
}

function wrong(field: string, problem: string): CofferError {
  return new CofferError(
    "invalid-argument",
    `issuer record${field && ` field ${field}`} ${problem}`,
  );
}

function allowOnly(field: string, json: JsonObject, names: readonly string[]): void {
  const extra = Object.keys(json).find((name) => !names.includes(name));
  if (extra === undefined) return;
  throw wrong(field, `has an unknown field; known are ${names.join(", ")}`);
}

function object(field: string, value: unknown): JsonObject {
  const json = value as JsonObject | undefined;
  if (!isJsonObject(json)) throw wrong(field, "must be an object");
  return json;
}

function anyText(field: string, value: unknown): string {
  if (typeof value !== "string" || value.length > TEXT_CHARS_MAX) {
    throw wrong(field, `must be a text of at most ${TEXT_CHARS_MAX} characters`);
  }
  return value;
}

function text(field: string, value: unknown): string {
  const string = anyText(field, value);
  if (string === "" || /\p{C}/u.test(string)) throw wrong(field, "must be a printable text");
  return string;
}

function list(field: string, value: JsonObject[string]): readonly string[] {
  const strings = stringsOf(value);
  if (strings === undefined || strings.length === 0) {
    throw wrong(field, "must be a list of at least one text");
  }
  return strings.map((item) => text(field, item));
}

function seconds(field: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw wrong(field, `must be a whole number of seconds from ${min} to ${max}`);
  }
  return value;
}
