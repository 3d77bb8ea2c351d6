import { createLocalJWKSet, type JSONWebKeySet, type LocalJWKSet } from "jose";
import { isJsonObject, type JsonObject, JsonRefused, parseStrictJson } from "./strict-json.ts";

/** A JWK set of an issuer, checked once. */
export interface KeySet {
  /** Finds the key of a verified header, for jose. */
  readonly find: LocalJWKSet;
  readonly keyIds: ReadonlySet<string>;
  readonly keys: number;
  /** The key that `find` finds for that key id; without one, the only key. */
  held(keyId: string | undefined): HeldKey | undefined;
  /** What decides which tokens a key verifies, and the key, which a later set may hold as well. */
  readonly all: ReadonlyMap<string, HeldKey>;
}

/** A key that verified tokens, as long as its issuer holds on to it. */
export interface HeldKey {
  /** False once the issuer has withdrawn it. */
  live: boolean;
}

export const KEY_SET_BYTES_MAX = 65_536;
const KEYS_MAX = 50;

/** The kinds of keys that verify, and what they are made of (RFC 7518 §6, RFC 8037 §2). */
const KEY_TYPES: ReadonlyMap<unknown, readonly string[]> = new Map([
  ["RSA", ["n", "e"]],
  ["EC", ["x", "y"]],
  ["OKP", ["x"]],
]);
/** node reads over what is not of this alphabet: two texts would be one key. */
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/**
 * The set in the bytes of a JWKS document, after `former`: keys that are in both stay the same. Throws
 * `JsonRefused` with what is wrong with it.
 */
export function parseKeySet(bytes: Uint8Array, former?: KeySet): KeySet {
  if (bytes.length > KEY_SET_BYTES_MAX) throw new JsonRefused("longer than 64 KiB");
  const { keys } = parseStrictJson(bytes);
  if (!Array.isArray(keys)) throw new JsonRefused("not a JWK set");
  return keySetOf(keys, former);
}

/** The set of `keys`. Those of unknown kinds, malformed, or for encryption are left out (RFC 7517 §5). */
export function keySetOf(
  keys: readonly (JsonObject[string] | undefined)[],
  former?: KeySet,
): KeySet {
  if (keys.length > KEYS_MAX) throw new JsonRefused(`more than ${KEYS_MAX} keys`);
  const usable: JsonObject[] = [];
  for (const key of keys) {
    if (!isJsonObject(key)) throw new JsonRefused("a key that is not an object");
    // A published private key is known to strangers, under whatever kind or use it stands: nothing that
    // it signs can be trusted.
    if (key["d"] !== undefined) throw new JsonRefused("a private key");
    const parts = KEY_TYPES.get(key["kty"]);
    if (parts === undefined || (key["use"] ?? "sig") !== "sig") continue;
    if (key["k"] !== undefined) throw new JsonRefused("a private key");
    if (parts.every((name) => isBase64url(key[name]))) usable.push(key);
  }
  if (usable.length === 0) throw new JsonRefused("no key that verifies signatures");
  const ids = usable.map((key) => key["kid"]).filter((kid) => typeof kid === "string");
  if (new Set(ids).size !== ids.length) throw new JsonRefused("two keys of one kid");
  const all = new Map<string, HeldKey>();
  const byId = new Map<unknown, HeldKey>();
  for (const key of usable) {
    const text = textOf(key);
    const held = all.get(text) ?? former?.all.get(text) ?? { live: true };
    all.set(text, held);
    byId.set(key["kid"], held);
  }
  const [only] = all.values();
  const set: unknown = { keys: usable.map((key) => ({ ...key })) };
  return {
    find: createLocalJWKSet(set as JSONWebKeySet),
    keyIds: new Set(ids),
    keys: usable.length,
    held: (keyId) => (keyId === undefined && usable.length === 1 ? only : byId.get(keyId)),
    all,
  };
}

function isBase64url(value: JsonObject[string] | undefined): boolean {
  return typeof value === "string" && BASE64URL.test(value);
}

/** Withdraws the keys of `former` that `next` does not hold; whether there were any. */
export function withdrawKeys(former: KeySet, next: KeySet): boolean {
  let withdrawn = false;
  for (const [text, key] of former.all) {
    if (next.all.has(text)) continue;
    key.live = false;
    withdrawn = true;
  }
  return withdrawn;
}

/** The members that RFC 7638 §3.2 hashes, and those by which jose chooses a key. */
const TELLING = ["kid", "alg", "use", "key_ops", "kty", "crv", "n", "e", "x", "y"] as const;

function textOf(key: JsonObject): string {
  return JSON.stringify(TELLING.map((name) => key[name] ?? null));
}
