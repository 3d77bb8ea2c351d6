import type { TenantId } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import { type IssuedToken, type RevocationIndex, issueToken } from "../identity/mod.ts";
import { processClock } from "./clock.ts";
import {
  BUILTIN_ISSUER,
  type IssuerKeysDeps,
  TOKEN_AUDIENCE,
  openIssuerKey,
} from "./issuer-keys.ts";

/** What a token of the built-in issuer is to say. */
export type TokenOrder = Omit<Parameters<EdgeParts["tokens"]["issue"]>[0], "certificate"> & {
  readonly certificate?: string;
};

/** Signs a token with the newest key that this member knows. */
export async function signToken(
  keys: IssuerKeysDeps,
  index: RevocationIndex,
  order: TokenOrder,
): Promise<IssuedToken> {
  return issueToken(await openIssuerKey(keys), {
    ...order,
    certificate: order.certificate === "" ? undefined : order.certificate,
    issuer: BUILTIN_ISSUER,
    audience: TOKEN_AUDIENCE,
    now: issueTime(index, order),
  });
}

/** The ids of those of the names that are tenants now. */
export function tenantIdsOf(
  { state }: IssuerKeysDeps["node"],
  names: readonly string[],
): Readonly<Record<string, string>> {
  const known = names.map((name) => state.tenantByName(name));
  return Object.fromEntries(
    known.filter((tenant) => tenant !== undefined).map(({ name, id }) => [name, id]),
  );
}

/**
 * Now, or the next second: a token that is issued in the second in which the subject's tokens were
 * revoked would be taken for one of those. Throws `conflict` while a revocation reaches further.
 */
function issueTime(index: RevocationIndex, order: TokenOrder): number {
  const isRevokedAt = (time: number): boolean => {
    const issuedAt = Math.floor(time / 1000);
    const { subject } = order;
    const question = { issuer: BUILTIN_ISSUER, subject, tokenId: undefined, issuedAt };
    const scopes = Object.values(order.tenantIds) as TenantId[];
    return index.isRevoked(question) || scopes.some((scope) => index.isRevokedIn(scope, question));
  };
  const now = processClock.now();
  if (!isRevokedAt(now)) return now;
  if (!isRevokedAt(now + 1000)) return now + 1000;
  throw new CofferError(
    "conflict",
    "tokens issued now are revoked, until a minute from now at most; see coffer token revocations",
  );
}
