import { isTenantName } from "../core/types/mod.ts";
import { createPrivateKey, createPublicKey, type KeyObject, randomUUID } from "node:crypto";
import { calculateJwkThumbprint, SignJWT } from "jose";
import { CofferError } from "../errors.ts";
import { newKeyPair } from "../key-pair/mod.ts";
import { TENANT_IDS_CLAIM } from "./claims.ts";
import type { IssuerRecord } from "./issuer-record.ts";
import { GROUPS_MAX, isOwnSubject, isPlainName, isReserved, TENANTS_MAX } from "./names.ts";
import { type JsonObject, parseStrictJson } from "./strict-json.ts";

/**
 * The issuer that Coffer runs itself. ES256: every verifier knows it, and Node 20 still calls
 * Ed25519 in WebCrypto experimental.
 */
const ALGORITHM = "ES256";
const GROUPS_CLAIM = "groups";
const TENANTS_CLAIM = "tenants";

/** The signing key of the built-in issuer. */
export interface IssuerKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
  /** The public JWK, for the issuer record. */
  readonly publicKey: JsonObject;
}

/** Makes a key pair. */
export function createBuiltinIssuer(): Promise<IssuerKey> {
  return issuerKeyOf(newKeyPair("p-256").privateKey);
}

/** The private key as a JWK in JSON, to be sealed; the caller fills it with zeros after that. */
export function exportIssuerKey(key: IssuerKey): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(key.privateKey.export({ format: "jwk" })));
}

/** The key that `exportIssuerKey` wrote. Rejects with `invalid-argument`. */
export async function importIssuerKey(bytes: Uint8Array): Promise<IssuerKey> {
  try {
    const jwk = { ...parseStrictJson(bytes) };
    return await issuerKeyOf(createPrivateKey({ key: jwk, format: "jwk" }));
  } catch {
    // The cause could quote the key.
    throw new CofferError("invalid-argument", "the issuer key is not a private P-256 JWK");
  }
}

async function issuerKeyOf(privateKey: KeyObject): Promise<IssuerKey> {
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  if (kty === undefined || crv !== "P-256" || x === undefined || y === undefined) {
    throw new CofferError("invalid-argument", "the issuer key is not on P-256");
  }
  const keyId = await calculateJwkThumbprint({ kty, crv, x, y }, "sha256");
  const json = JSON.stringify({ kty, crv, x, y, kid: keyId, alg: ALGORITHM, use: "sig" });
  return { keyId, privateKey, publicKey: parseStrictJson(new TextEncoder().encode(json)) };
}

/**
 * The record under which the built-in issuer's own tokens are judged: it may bind to any tenant.
 */
export function builtinIssuerRecord(options: {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: readonly IssuerKey[];
  readonly maxAgeSeconds: number;
  /** When the keys were made, in milliseconds since the epoch, for `isKeyDue`. */
  readonly made?: number;
}): IssuerRecord {
  const { made } = options;
  return {
    version: 1,
    issuer: options.issuer,
    keys: {
      kind: "inline",
      keys: options.keys.map((key) => (made === undefined ? key.publicKey : keyMade(key, made))),
    },
    algorithms: [ALGORITHM],
    audience: [options.audience],
    maxAgeSeconds: options.maxAgeSeconds,
    // Its clock is ours, but members have clocks of their own.
    clockToleranceSeconds: 30,
    tenants: { kind: "claim", claim: TENANTS_CLAIM, any: true },
    subject: { kind: "own", claim: "sub" },
    groupsClaim: GROUPS_CLAIM,
    boundClaims: {},
  };
}

/**
 * When a key was made and when the last token signed by it has ended: parameters of a JWK that OpenID
 * Federation 1.0 §8.7.2 registers. In seconds since the epoch.
 */
const MADE = "iat";
const ENDS = "exp";

/** Members that lag sign with the old key a little longer, by clocks of their own. */
const LAG_SECONDS = 120;

/** Former keys that are kept at most; the automatic rotation needs two. */
const FORMER_KEYS_MAX = 20;

function keyMade({ publicKey }: IssuerKey, made: number): JsonObject {
  return { ...publicKey, [MADE]: Math.floor(made / 1000) };
}

/**
 * The record once `next` signs. The keys before it verify until the last token that they have signed
 * must have ended; with `dropFormer` they are forgotten at once, and all tokens with them. Throws
 * `conflict` while there are too many of them.
 */
export function recordWithNewKey(
  record: IssuerRecord,
  next: IssuerKey,
  options: { readonly now: number; readonly dropFormer: boolean },
): IssuerRecord {
  const { now, dropFormer } = options;
  const ends = Math.ceil(now / 1000) + record.maxAgeSeconds + LAG_SECONDS;
  const former = dropFormer
    ? []
    : keysAt(record, now).map((key) => (key[ENDS] === undefined ? { ...key, [ENDS]: ends } : key));
  if (former.length > FORMER_KEYS_MAX) {
    throw new CofferError(
      "conflict",
      `tokens of ${FORMER_KEYS_MAX} former keys may still be in use; wait until they have ended, or ` +
        "rotate with --drop-former, which ends all of them",
    );
  }
  return { ...record, keys: { kind: "inline", keys: [keyMade(next, now), ...former] } };
}

/** The record without keys that no living token can be signed by; undefined: it has none. */
export function recordWithoutEndedKeys(
  record: IssuerRecord,
  now: number,
): IssuerRecord | undefined {
  if (record.keys.kind !== "inline") return undefined;
  const keys = keysAt(record, now);
  return keys.length === record.keys.keys.length
    ? undefined
    : { ...record, keys: { kind: "inline", keys } };
}

/** Whether the key that signs is older than `ageMax` milliseconds, or of unknown age. */
export function isKeyDue(record: IssuerRecord, now: number, ageMax: number): boolean {
  const made = keysAt(record, now).find((key) => key[ENDS] === undefined)?.[MADE];
  return typeof made !== "number" || now - made * 1000 >= ageMax;
}

function keysAt({ keys }: IssuerRecord, now: number): readonly JsonObject[] {
  if (keys.kind !== "inline") return [];
  return keys.keys.filter((key) => {
    const ends = key[ENDS];
    return typeof ends !== "number" || ends * 1000 > now;
  });
}

export interface TokenOrder {
  readonly issuer: string;
  readonly audience: string;
  /** `user:alice` or `sa:ns/name`. */
  readonly subject: string;
  /** Without `group:`. */
  readonly groups: readonly string[];
  /** Names, or `["*"]` for all. */
  readonly tenants: readonly string[];
  readonly ttlSeconds: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Ids by name of those tenants that have one now: the token is for no later one of that name. */
  readonly tenantIds?: Readonly<Record<string, string>>;
  /** x5t#S256 of the one certificate that the token may come with (RFC 8705 §3.1). */
  readonly certificate?: string | undefined;
  /** Default: drawn. */
  readonly tokenId?: string;
}

export interface IssuedToken {
  readonly token: string;
  readonly tokenId: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Signs a token. Throws `invalid-argument` for an order whose token would be refused. */
export async function issueToken(key: IssuerKey, order: TokenOrder): Promise<IssuedToken> {
  checkOrder(order);
  const tokenId = order.tokenId ?? randomUUID();
  const issuedAt = Math.floor(order.now / 1000);
  const expires = issuedAt + order.ttlSeconds;
  const token = await new SignJWT({
    [TENANTS_CLAIM]: [...order.tenants],
    ...(order.groups.length === 0 ? {} : { [GROUPS_CLAIM]: [...order.groups] }),
    ...(order.tenantIds === undefined ? {} : { [TENANT_IDS_CLAIM]: { ...order.tenantIds } }),
    ...(order.certificate === undefined ? {} : { cnf: { "x5t#S256": order.certificate } }),
  })
    .setProtectedHeader({ alg: ALGORITHM, kid: key.keyId, typ: "JWT" })
    .setIssuer(order.issuer)
    .setSubject(order.subject)
    .setAudience(order.audience)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expires)
    .setJti(tokenId)
    .sign(key.privateKey);
  return { token, tokenId, expires: expires * 1000 };
}

function checkOrder(order: TokenOrder): void {
  const bad = (problem: string): CofferError => new CofferError("invalid-argument", problem);
  if (!isOwnSubject(order.subject)) {
    throw bad("subject must be user:NAME or sa:NAMESPACE/NAME, printable, at most 256 bytes");
  }
  const { groups, tenants, ttlSeconds } = order;
  if (
    groups.length > GROUPS_MAX ||
    !groups.every((name) => isPlainName(name) && !isReserved(name))
  ) {
    throw bad(`groups must be at most ${GROUPS_MAX} plain names`);
  }
  const all = tenants.length === 1 && tenants[0] === "*";
  if (
    !all &&
    (tenants.length === 0 || tenants.length > TENANTS_MAX || !tenants.every(isTenantName))
  ) {
    throw bad(`tenants must be one to ${TENANTS_MAX} tenant names, or * alone`);
  }
  if (order.certificate !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(order.certificate)) {
    throw bad("certificate must be a SHA-256 in base64url, 43 characters (x5t#S256)");
  }
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1) {
    throw bad("ttl must be a whole number of seconds from 1");
  }
}
