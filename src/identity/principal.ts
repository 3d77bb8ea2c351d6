import { isTenantName } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";

/** Who calls, after every check; what the edge asks `access` about and writes down as the actor. */
export interface Principal {
  /** `user:alice`, `sa:ns/name`, `cert:cn`; never a role. */
  readonly subject: string;
  /** Bare names; a policy knows the group dev as `group:dev`. */
  readonly groups: readonly string[];
  /** The token's `iss`; "certificate" or "anonymous" without a token. */
  readonly issuer: string;
  readonly via: "jwt" | "certificate" | "anonymous";
  /** The name of the tenant that this request is for. */
  readonly tenant: string;
  /** Names it may pick by `coffer-tenant`; "*": any. */
  readonly tenants: readonly string[] | "*";
  /** Milliseconds since the epoch, from the token or the certificate. */
  readonly expires: number | undefined;
  /** The token's `jti`. */
  readonly tokenId: string | undefined;
  /** Seconds since the epoch: the token's `iat`, the certificate's notBefore. */
  readonly issuedAt: number | undefined;
  /** The ids that the names of its tenants had when the token was issued, if it says so. */
  readonly tenantIds?: ReadonlyMap<string, string> | undefined;
  /**
   * The issuer's record and key that judged the token; once they are no longer live, the token may be
   * another's.
   */
  readonly judgedBy?: { readonly live: boolean } | undefined;
}

/** A principal before a tenant is picked, with the picks already made. */
export interface Identified {
  readonly principal: Principal;
  /** By the name asked for. Bounded by the tenants of the principal, except for "*". */
  readonly picks: Map<string, Principal>;
}

const PICKS_MAX = 256;

export function identified(principal: Principal): Identified {
  return { principal, picks: new Map() };
}

/**
 * The principal for the tenant asked for, or for its default one. A tenant out of reach is refused
 * with one text, whether it exists or not, so that nobody learns other tenants' names.
 */
export function pickTenant(who: Identified, asked: string | undefined): Principal {
  const { principal, picks } = who;
  if (asked === undefined || asked === principal.tenant) return principal;
  const known = picks.get(asked);
  if (known !== undefined) return known;
  const bound = principal.tenants === "*" ? isTenantName(asked) : principal.tenants.includes(asked);
  if (!bound) {
    throw new CofferError("permission-denied", undefined, {
      cause: "the credentials are not bound to the tenant asked for",
    });
  }
  const picked: Principal = { ...principal, tenant: asked };
  if (picks.size < PICKS_MAX) picks.set(asked, picked);
  return picked;
}
