import type { TenantId } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import { type IssuedToken, type RevocationIndex, issueToken } from "../identity/mod.ts";
import { processClock, processScheduler } from "./clock.ts";
import {
  BUILTIN_ISSUER,
  type IssuerKeysDeps,
  TOKEN_AUDIENCE,
  openIssuerKey,
} from "./issuer-keys.ts";

/** Clocks of members may differ by less than that. */
const WAIT_MS_MAX = 5000;

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
    now: await issueTime(index, order),
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
 * Now, or once this second is over: a token of the second in which the subject's tokens were revoked
 * would be taken for one of those. Rejects with `conflict` if the revocation reaches further.
 */
async function issueTime(index: RevocationIndex, order: TokenOrder): Promise<number> {
  const isRevokedAt = (time: number): boolean => {
    const issuedAt = Math.floor(time / 1000);
    const { subject } = order;
    const question = { issuer: BUILTIN_ISSUER, subject, tokenId: undefined, issuedAt };
    const scopes = Object.values(order.tenantIds) as TenantId[];
    return index.isRevoked(question) || scopes.some((scope) => index.isRevokedIn(scope, question));
  };
  const begun = processClock.now();
  for (let now = begun; now < begun + WAIT_MS_MAX; now = processClock.now()) {
    if (!isRevokedAt(now)) return now;
    await new Promise<void>((resolve) => processScheduler.after(1000 - (now % 1000), resolve));
  }
  throw new CofferError(
    "conflict",
    "a token issued now would be revoked already, for a minute at most: coffer token revocations",
  );
}
