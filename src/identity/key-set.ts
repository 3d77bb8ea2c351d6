import { createLocalJWKSet, type JSONWebKeySet, type LocalJWKSet } from "jose";
import { isJsonObject, type JsonObject, JsonRefused, parseStrictJson } from "./strict-json.ts";

/** A JWK set of an issuer, checked once. */
export interface KeySet {
  /** Finds the key of a verified header, for jose. */
  readonly find: LocalJWKSet;
  readonly keyIds: ReadonlySet<string>;
  readonly keys: number;
}

export const KEY_SET_BYTES_MAX = 65_536;
const KEYS_MAX = 50;

const KEY_TYPES: ReadonlySet<unknown> = new Set(["RSA", "EC", "OKP"]);

/** The set in the bytes of a JWKS document. Throws `JsonRefused` with what is wrong with it. */
export function parseKeySet(bytes: Uint8Array): KeySet {
  if (bytes.length > KEY_SET_BYTES_MAX) throw new JsonRefused("longer than 64 KiB");
  const { keys } = parseStrictJson(bytes);
  if (!Array.isArray(keys)) throw new JsonRefused("not a JWK set");
  return keySetOf(keys);
}

/** The set of `keys`. Those of unknown kinds or for encryption are left out (RFC 7517 §5). */
export function keySetOf(keys: readonly (JsonObject[string] | undefined)[]): KeySet {
  if (keys.length > KEYS_MAX) throw new JsonRefused(`more than ${KEYS_MAX} keys`);
  const usable: JsonObject[] = [];
  for (const key of keys) {
    if (!isJsonObject(key)) throw new JsonRefused("a key that is not an object");
    if (!KEY_TYPES.has(key["kty"]) || (key["use"] ?? "sig") !== "sig") continue;
    // A published private key is known to strangers: nothing that it signs can be trusted.
    if (key["d"] !== undefined || key["k"] !== undefined) throw new JsonRefused("a private key");
    usable.push(key);
  }
  if (usable.length === 0) throw new JsonRefused("no key that verifies signatures");
  const ids = usable.map((key) => key["kid"]).filter((kid) => typeof kid === "string");
  if (new Set(ids).size !== ids.length) throw new JsonRefused("two keys of one kid");
  const set: unknown = { keys: usable.map((key) => ({ ...key })) };
  return {
    find: createLocalJWKSet(set as JSONWebKeySet),
    keyIds: new Set(ids),
    keys: usable.length,
  };
}
