import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";
import { CompactSign } from "jose";
import { CofferError, type ErrorCode } from "../../src/errors.ts";
import {
  createIdentity,
  type Identity,
  type IdentityOptions,
  type IssuerRecord,
  type Principal,
  refusalReason,
  validateIssuerRecord,
} from "../../src/identity/mod.ts";

/** 2026-11-22T12:00:00Z. */
export const NOW_MS = 1_795_348_800_000;
export const NOW: number = NOW_MS / 1000;

export const ISSUER = "https://issuer.example";
export const AUDIENCE = "coffer";

export interface Keys {
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
}

const made = new Map<string, Keys>();

/** A key pair for `alg`, made once for each name. */
export function keysFor(alg: string, name = "main"): Keys {
  const known = made.get(`${alg} ${name}`);
  if (known !== undefined) return known;
  const { privateKey, publicKey } = generate(alg);
  const jwk = publicKey.export({ format: "jwk" }) as Record<string, string>;
  const keys = { privateKey, jwk: { ...jwk, kid: `${alg}-${name}`, use: "sig" } };
  made.set(`${alg} ${name}`, keys);
  return keys;
}

function generate(alg: string): { privateKey: KeyObject; publicKey: KeyObject } {
  if (alg === "ES256") return generateKeyPairSync("ec", { namedCurve: "P-256" });
  if (alg === "ES384") return generateKeyPairSync("ec", { namedCurve: "P-384" });
  if (alg === "ES512") return generateKeyPairSync("ec", { namedCurve: "P-521" });
  if (alg === "EdDSA" || alg === "Ed25519") return generateKeyPairSync("ed25519");
  return generateKeyPairSync("rsa", { modulusLength: 2048 });
}

/** A record of the issuer for the ES256 key, with `changes` laid over its JSON. */
export function recordOf(changes: Readonly<Record<string, unknown>> = {}): IssuerRecord {
  const json = {
    version: 1,
    issuer: ISSUER,
    keys: { kind: "inline", keys: [keysFor("ES256").jwk] },
    algorithms: ["ES256"],
    audience: [AUDIENCE],
    maxAgeSeconds: 3600,
    clockToleranceSeconds: 5,
    tenants: { kind: "fixed", tenants: ["acme", "beta"] },
    groupsClaim: "groups",
    ...changes,
  };
  return validateIssuerRecord(JSON.parse(JSON.stringify(json)) as never);
}

export function claimsOf(changes: Readonly<Record<string, unknown>> = {}): object {
  return {
    iss: ISSUER,
    sub: "alice",
    aud: AUDIENCE,
    iat: NOW - 10,
    exp: NOW + 600,
    jti: "t1",
    ...changes,
  };
}

/** Signs any payload text under any header. */
export async function signText(
  payload: string | Uint8Array,
  header: Readonly<Record<string, unknown>> = {},
  keys: Keys = keysFor("ES256"),
): Promise<string> {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return new CompactSign(bytes)
    .setProtectedHeader({ alg: "ES256", kid: keys.jwk["kid"] ?? "", ...header })
    .sign(keys.privateKey);
}

export function sign(
  claims: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  keys: Keys = keysFor("ES256"),
): Promise<string> {
  return signText(JSON.stringify(claimsOf(claims)), header, keys);
}

export function segment(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString(
    "base64url",
  );
}

/** A good signature of the key over any header as it is, one that jose would not sign too. */
export function signExactly(
  header: unknown,
  payload: unknown,
  { privateKey }: Keys = keysFor("ES256"),
): string {
  const input = `${segment(header)}.${segment(payload)}`;
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
  return `${input}.${signBytes("sha256", Buffer.from(input), key).toString("base64url")}`;
}

/** An ES256 token with the other valid signature: s replaced by n - s. */
export function ecdsaTwin(token: string): string {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const at = token.lastIndexOf(".") + 1;
  const signature = Buffer.from(token.slice(at), "base64url");
  const s = BigInt(`0x${signature.subarray(32).toString("hex")}`);
  const twin = (order - s).toString(16).padStart(64, "0");
  const bytes = Buffer.concat([signature.subarray(0, 32), Buffer.from(twin, "hex")]);
  return token.slice(0, at) + bytes.toString("base64url");
}

/** A compact JWS whose signature the caller gives, or an HMAC under `secret`. */
export function forge(header: unknown, payload: unknown, signature: string | Buffer): string {
  const input = `${segment(header)}.${segment(payload)}`;
  if (typeof signature === "string") return `${input}.${signature}`;
  return `${input}.${createHmac("sha256", signature).update(input).digest("base64url")}`;
}

export interface Bench {
  readonly identity: Identity;
  readonly clock: { now: () => number; ms: number };
  readonly notices: string[];
  authenticate(authorization: string, thumbprint?: string, tenant?: string): Promise<Principal>;
  /** The reason that the token is refused with; asserts that it is refused as every other. */
  refusal(authorization: string, thumbprint?: string): Promise<string>;
}

export function bench(
  records: readonly IssuerRecord[] = [recordOf()],
  options: Partial<IdentityOptions> = {},
): Bench {
  const clock = { ms: NOW_MS, now: () => clock.ms };
  const notices: string[] = [];
  const note = (message: string): void => {
    notices.push(message);
  };
  const log = { info: note, warn: note };
  const identity = createIdentity({ issuers: () => records, clock, log, ...options });
  const authenticate: Bench["authenticate"] = async (authorization, thumbprint, tenantName) =>
    identity.authenticate({
      authorization,
      certificate: thumbprint === undefined ? undefined : { raw: new Uint8Array(), thumbprint },
      tenantName,
    });
  return {
    identity,
    clock,
    notices,
    authenticate,
    refusal: async (authorization, thumbprint) => {
      const error = await failure(() => authenticate(authorization, thumbprint), "invalid-token");
      assert.equal(error.message, "etcdserver: invalid auth token");
      return refusalReason(error) ?? "";
    },
  };
}

/** The CofferError of `code` that `work` fails with. */
export async function failure(work: () => unknown, code: ErrorCode): Promise<CofferError> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof CofferError, String(error));
    assert.equal(error.code, code);
    return error;
  }
  return assert.fail(`nothing was refused, expected ${code}`);
}
