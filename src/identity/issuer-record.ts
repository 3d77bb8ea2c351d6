import { CofferError } from "../errors.ts";
import { isPlainName, isReserved, isTenantName, TENANTS_MAX } from "./names.ts";
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
  | { readonly kind: "url"; readonly url: string; readonly ca?: string };

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
  /** Claims that must be there with exactly this string. */
  readonly boundClaims: Readonly<Record<string, string>>;
}

const RECORD_BYTES_MAX = 128 * 1024;
const TEXT_CHARS_MAX = 1024;
const CLOCK_TOLERANCE_SECONDS_MAX = 30;
const MAX_AGE_SECONDS_MAX = 366 * 24 * 3600;

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
  return {
    version: 1,
    issuer: text("issuer", json["issuer"]),
    keys: keysOf(json["keys"]),
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

function keysOf(value: unknown): IssuerKeys {
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
    case "url": {
      allowOnly("keys", json, ["kind", "url", "ca"]);
      const url = urlText(text("keys.url", json["url"]));
      if (json["ca"] === undefined) return { kind: "url", url };
      if (typeof json["ca"] !== "string") throw wrong("keys.ca", "must be PEM certificates");
      return { kind: "url", url, ca: json["ca"] };
    }
    default:
      throw wrong("keys.kind", "must be inline, file or url");
  }
}

function urlText(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol)) {
    throw wrong("keys.url", "must be an https URL");
  }
  if (url.username !== "" || url.password !== "") {
    throw wrong("keys.url", "must not hold a user name or password");
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

function boundClaimsOf(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  const json = object("boundClaims", value);
  return Object.fromEntries(
    Object.entries(json).map(([name, claim]) => [name, text(`boundClaims.${name}`, claim)]),
  );
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
