import { isTenantName } from "../core/types/mod.ts";
import type { BoundClaim, IssuerRecord, ServiceAccount } from "./issuer-record.ts";
import { GROUPS_MAX, ownSubject, prefixedName, TENANTS_MAX } from "./names.ts";
import { refused } from "./refusal.ts";
import { isJsonObject, type JsonObject, stringsOf } from "./strict-json.ts";

/** What a token says once its record has judged it. Times in seconds since the epoch. */
export interface TokenFacts {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tenants: readonly string[] | "*";
  /** Ids of tenants by their names when the token was issued; undefined: it does not say. */
  readonly tenantIds: ReadonlyMap<string, string> | undefined;
  readonly tokenId: string | undefined;
  readonly issuedAt: number;
  readonly expires: number;
}

const TOKEN_ID_CHARS_MAX = 256;

/**
 * Judges the claims of a payload whose signature holds (RFC 7519 §4.1, RFC 8725 §3). Throws
 * `invalid-token`. `now` in seconds; `thumbprint` is the TLS peer certificate's.
 */
export function judgeClaims(
  record: IssuerRecord,
  claims: JsonObject,
  now: number,
  thumbprint: string | undefined,
): TokenFacts {
  if (claims["iss"] !== record.issuer) throw refused("iss is another");
  checkAudience(record, claims);
  const { issuedAt, expires } = checkTimes(record, claims, now);
  checkConfirmation(claims, thumbprint);
  for (const [name, wanted] of Object.entries(record.boundClaims)) {
    if (!isBound(claims[name], wanted)) throw refused(`claim ${name} is not the one bound`);
  }
  // RFC 7519 calls `sub` optional; here it is not, even where another claim names the subject.
  if (typeof claims["sub"] !== "string") throw refused("sub is not a string");
  return {
    subject: subjectOf(record, claims),
    groups: groupsOf(record, claims),
    tenants: tenantsOf(record, claims),
    tenantIds: tenantIdsOf(record, claims),
    tokenId: tokenIdOf(claims),
    issuedAt,
    expires,
  };
}

/** Without conversion: "1" is not 1, and a list is no text. */
function isBound(claim: JsonObject[string], wanted: BoundClaim): boolean {
  if (typeof wanted !== "object") return claim === wanted;
  return typeof claim === "string" && matchesGlob(wanted.glob, claim);
}

/**
 * Whether `glob` matches all of `text`; its only sign is `*`, for any characters. Each part between
 * two stars is looked for once, from left to right, so it takes no more than the product of the lengths.
 */
function matchesGlob(glob: string, text: string): boolean {
  const [first = "", ...rest] = glob.split("*");
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function checkAudience(record: IssuerRecord, claims: JsonObject): void {
  const { aud } = claims;
  const given = typeof aud === "string" ? [aud] : stringsOf(aud);
  if (given === undefined) throw refused("aud is not a string or a list of strings");
  if (!given.some((name) => record.audience.includes(name))) throw refused("aud is another");
}

function checkTimes(
  record: IssuerRecord,
  claims: JsonObject,
  now: number,
): { readonly issuedAt: number; readonly expires: number } {
  const tolerance = record.clockToleranceSeconds;
  const expires = numericDate(claims, "exp");
  const issuedAt = numericDate(claims, "iat");
  if (expires + tolerance <= now) throw refused("exp has passed");
  if (issuedAt - tolerance > now) throw refused("iat is in the future");
  if (expires <= issuedAt) throw refused("exp is not after iat");
  if (expires - issuedAt > record.maxAgeSeconds) throw refused("the token lives too long");
  if (now - issuedAt > record.maxAgeSeconds + tolerance) throw refused("the token is too old");
  if (claims["nbf"] !== undefined && numericDate(claims, "nbf") - tolerance > now) {
    throw refused("nbf is in the future");
  }
  return { issuedAt, expires };
}

/** RFC 7519 §2 NumericDate, which may have a fraction. Bounded so that sums stay exact. */
function numericDate(claims: JsonObject, name: string): number {
  const value = claims[name];
  if (typeof value !== "number" || !(value > 0) || value > Number.MAX_SAFE_INTEGER / 1000) {
    throw refused(`${name} is not a time`);
  }
  return value;
}

/**
 * RFC 8705 §3.1: a token bound to a certificate is worth nothing without it. Any other confirmation
 * (RFC 7800 §3) is one that we cannot check, so the token is refused.
 */
function checkConfirmation(claims: JsonObject, thumbprint: string | undefined): void {
  const { cnf } = claims;
  if (cnf === undefined) return;
  if (!isJsonObject(cnf)) throw refused("cnf is not an object");
  const bound = cnf["x5t#S256"];
  if (typeof bound !== "string" || Object.keys(cnf).length !== 1) {
    throw refused("cnf holds what cannot be checked");
  }
  if (thumbprint === undefined || thumbprint === "") {
    throw refused("the token is bound to a certificate and none was presented");
  }
  if (bound !== thumbprint) throw refused("the token is bound to another certificate");
}

function subjectOf(record: IssuerRecord, claims: JsonObject): string {
  const rule = record.subject;
  switch (rule.kind) {
    case "prefix":
      return prefixedName(rule.prefix, claims[rule.claim], rule.claim);
    case "own":
      return ownSubject(claims[rule.claim], rule.claim);
    case "kubernetes":
      return serviceAccountOf(rule.accounts, claims);
  }
}

/**
 * A service account is its namespace, name **and** uid: one that was deleted and made again under
 * the same name is another (Kubernetes: pkg/serviceaccount/claims.go).
 */
function serviceAccountOf(accounts: readonly ServiceAccount[], claims: JsonObject): string {
  const own = claims["kubernetes.io"];
  const given = isJsonObject(own) ? own["serviceaccount"] : undefined;
  if (!isJsonObject(own) || !isJsonObject(given)) {
    throw refused("the token is not one of a Kubernetes service account");
  }
  const account = accounts.find(
    ({ namespace, name, uid }) =>
      own["namespace"] === namespace && given["name"] === name && given["uid"] === uid,
  );
  if (account === undefined) throw refused("the service account is not one that is bound");
  const { namespace, name } = account;
  if (claims["sub"] !== `system:serviceaccount:${namespace}:${name}`) {
    throw refused("sub is not that of the service account");
  }
  return `sa:${namespace}/${name}`;
}

function groupsOf(record: IssuerRecord, claims: JsonObject): readonly string[] {
  const value = record.groupsClaim === "" ? undefined : claims[record.groupsClaim];
  if (value === undefined) return [];
  const names = stringsOf(value);
  if (names === undefined) throw refused("the groups claim is not a list of strings");
  // Cutting the list would drop what a deny row may name.
  if (names.length > GROUPS_MAX) throw refused("too many groups");
  // Checked as policies spell them, `group:NAME`; handed on bare, so that `access` alone adds the
  // prefix.
  for (const name of names) prefixedName("group:", name, "a group");
  return [...new Set(names)];
}

const SYSTEM_SCOPE = "system";

function tenantsOf(record: IssuerRecord, claims: JsonObject): readonly string[] | "*" {
  const binding = record.tenants;
  if (binding.kind === "fixed") return binding.tenants;
  const names = stringsOf(claims[binding.claim]);
  if (names === undefined) throw refused("the tenants claim is not a list of strings");
  if (binding.any && names.length === 1 && names[0] === "*") return "*";
  if (names.length === 0 || names.length > TENANTS_MAX || !names.every(isTenantName)) {
    throw refused("the tenants claim is not a list of tenant names");
  }
  // The cluster's own scope is no tenant: only an issuer that may bind to any can name it.
  if (!binding.any && names.includes(SYSTEM_SCOPE)) {
    throw refused("the tenants claim names the system scope");
  }
  return names;
}

/** What the built-in issuer writes: which tenant each name meant. Others are not believed. */
export const TENANT_IDS_CLAIM = "tenant_ids";

function tenantIdsOf(
  { tenants }: IssuerRecord,
  claims: JsonObject,
): ReadonlyMap<string, string> | undefined {
  const value = claims[TENANT_IDS_CLAIM];
  if (value === undefined || tenants.kind !== "claim" || !tenants.any) return undefined;
  if (!isJsonObject(value)) throw refused("tenant_ids is not an object");
  return new Map(
    Object.entries(value).map(([name, id]) => {
      if (typeof id !== "string") throw refused("tenant_ids holds what is no id");
      return [name, id];
    }),
  );
}

function tokenIdOf(claims: JsonObject): string | undefined {
  const { jti } = claims;
  if (jti === undefined) return undefined;
  if (typeof jti !== "string" || jti === "" || jti.length > TOKEN_ID_CHARS_MAX) {
    throw refused("jti is not a text of at most 256 characters");
  }
  return jti;
}
