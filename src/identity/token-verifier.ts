import { errors, jwtVerify } from "jose";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import { judgeClaims, type TokenFacts } from "./claims.ts";
import { judgeHeader, type TokenHeader } from "./header.ts";
import type { CompiledIssuer, IssuerTable } from "./issuer-table.ts";
import type { NewestState } from "./newest-state.ts";
import type { HeldKey } from "./key-set.ts";
import { type Identified, identified } from "./principal.ts";
import { refused } from "./refusal.ts";
import { JsonRefused, type JsonObject, parseStrictJson } from "./strict-json.ts";
import { TokenCache } from "./token-cache.ts";
import { partsOf, readToken, type TokenText } from "./token-text.ts";

/** What a revocation can name; asked on every use of a credential, cached or not. */
export interface RevocationQuestion {
  readonly issuer: string;
  readonly tokenId: string | undefined;
  readonly subject: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number | undefined;
}

export interface TokenVerifierDeps {
  readonly issuers: IssuerTable;
  readonly clock: Clock;
  /** Asked when a token names an issuer or a key that is not known here. */
  readonly newest: NewestState;
  readonly isRevoked: (question: RevocationQuestion) => boolean;
  /** The tenant of a principal that may use any, when it names none. */
  readonly defaultTenant: string;
  /** Verified tokens remembered; the oldest of the tenant with the most goes first. */
  readonly cachedTokensMax: number;
}

export interface TokenVerifier {
  /** Synchronous for a token seen before. Throws or rejects with `invalid-token`. */
  verify(authorization: string, thumbprint: string | undefined): Identified | Promise<Identified>;
  readonly cached: number;
}

/** A token is verified anew after this, or once its key is known to be withdrawn. */
const CACHED_MS_MAX = 60_000;
/** Verifications under way; each costs a thread of the pool for a fraction of a millisecond. */
const VERIFICATIONS_MAX = 1024;

interface CachedToken {
  /** Whose share of the cache it takes. */
  readonly tenant: string;
  readonly who: Identified;
  readonly judgedBy: { readonly live: boolean };
  readonly question: RevocationQuestion;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

export function createTokenVerifier(deps: TokenVerifierDeps): TokenVerifier {
  const cache = new TokenCache<CachedToken>(deps.cachedTokensMax);
  const running = new Map<string, Promise<Identified>>();

  const verifyNew = async (token: TokenText, thumb: string | undefined): Promise<Identified> => {
    const { issuer, facts, judgedBy } = await verifyToken(deps, token.compact, thumb);
    const question = {
      issuer: issuer.record.issuer,
      tokenId: facts.tokenId,
      subject: facts.subject,
      issuedAt: facts.issuedAt,
    };
    if (deps.isRevoked(question)) throw refused("the token is revoked");
    const who = identifiedBy({ issuer, facts, judgedBy }, deps.defaultTenant);
    const until = Math.min(facts.expires * 1000, deps.clock.now() + CACHED_MS_MAX);
    cache.set(token.digest, { tenant: who.principal.tenant, who, judgedBy, question, until });
    return who;
  };

  return {
    verify(authorization, thumbprint) {
      const token = readToken(authorization, thumbprint);
      deps.issuers.refresh();
      const known = cache.get(token.digest);
      if (known !== undefined) {
        if (known.judgedBy.live && deps.clock.now() < known.until) {
          if (deps.isRevoked(known.question)) throw refused("the token is revoked");
          return known.who;
        }
        cache.delete(token.digest);
      }
      const under = running.get(token.digest);
      if (under !== undefined) return under;
      if (running.size >= VERIFICATIONS_MAX) throw new CofferError("too-many-requests");
      const begun = verifyNew(token, thumbprint).finally(() => running.delete(token.digest));
      running.set(token.digest, begun);
      return begun;
    },
    get cached() {
      return cache.size;
    },
  };
}

/** A token that holds, as long as what judged it is live: the issuer's record, and the key that signed it. */
interface VerifiedToken {
  readonly issuer: CompiledIssuer;
  readonly facts: TokenFacts;
  readonly judgedBy: { readonly live: boolean };
}

async function verifyToken(
  deps: TokenVerifierDeps,
  compact: string,
  thumbprint: string | undefined,
): Promise<VerifiedToken> {
  const parts = partsOf(compact);
  const header = judgeHeader(strictJson(parts.header, "the header"));
  const claims = strictJson(parts.payload, "the payload");
  const issuer = await findIssuer(deps, claims["iss"], header.keyId);
  if (!issuer.record.algorithms.includes(header.algorithm)) {
    throw refused("alg is not one that the issuer record allows");
  }
  const nowMs = deps.clock.now();
  const key = await checkSignature(issuer, compact, header, nowMs);
  if (!issuer.live) throw refused("the issuer record changed meanwhile");
  if (!key.live) throw refused("the issuer withdrew the key meanwhile");
  const facts = judgeClaims(issuer.record, claims, nowMs / 1000, thumbprint);
  const judgedBy = {
    get live() {
      return issuer.live && key.live;
    },
  };
  return { issuer, facts, judgedBy };
}

/**
 * The record that judges a token. `iss` and the key id are unverified: they only choose under which
 * record and key all is verified.
 */
async function findIssuer(
  deps: TokenVerifierDeps,
  iss: JsonObject[string],
  keyId: string | undefined,
): Promise<CompiledIssuer> {
  const find = (): CompiledIssuer | undefined =>
    typeof iss === "string" ? deps.issuers.byIssuer(iss) : undefined;
  let issuer = find();
  if (issuer === undefined || issuer.keys.lacks(keyId)) {
    await deps.newest.wait();
    deps.issuers.refresh();
    issuer = find();
  }
  if (issuer === undefined) throw refused("no issuer record has this iss");
  return issuer;
}

function strictJson(bytes: Uint8Array, what: string): JsonObject {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof JsonRefused) throw refused(`${what} is refused: ${error.message}`);
    throw error;
  }
}

/**
 * The signature, and jose's own reading of the claims beside ours: both must agree. Resolves with the key
 * that verified it.
 */
async function checkSignature(
  issuer: CompiledIssuer,
  compact: string,
  header: TokenHeader,
  nowMs: number,
): Promise<HeldKey> {
  const { record } = issuer;
  const found = issuer.keys.keysFor(header.keyId);
  const keys = found instanceof Promise ? await found : found;
  if (header.keyId === undefined && keys.keys > 1) {
    throw refused("kid is missing and the issuer has several keys");
  }
  try {
    await jwtVerify(compact, keys.find, {
      algorithms: [...record.algorithms],
      issuer: record.issuer,
      audience: [...record.audience],
      clockTolerance: record.clockToleranceSeconds,
      maxTokenAge: record.maxAgeSeconds,
      requiredClaims: ["exp", "iat", "sub", "aud", "iss"],
      currentDate: new Date(nowMs),
    });
  } catch (error) {
    if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
      throw refused(`jose: ${error.claim} ${error.reason}`);
    }
    if (error instanceof errors.JOSEError) throw refused(`jose: ${error.code}`);
    // WebCrypto refuses what does not fit the key with errors of its own.
    throw refused("the signature cannot be checked with the issuer's key");
  }
  const key = keys.held(header.keyId);
  if (key === undefined) throw refused("the issuer holds no such key");
  return key;
}

function identifiedBy(
  { issuer, facts, judgedBy }: VerifiedToken,
  defaultTenant: string,
): Identified {
  return identified({
    subject: facts.subject,
    groups: facts.groups,
    issuer: issuer.record.issuer,
    via: "jwt",
    tenant: facts.tenants === "*" ? defaultTenant : (facts.tenants[0] ?? defaultTenant),
    tenants: facts.tenants,
    expires: facts.expires * 1000,
    tokenId: facts.tokenId,
    issuedAt: facts.issuedAt,
    tenantIds: facts.tenantIds,
    judgedBy,
  });
}
