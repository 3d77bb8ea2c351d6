import type { Caller, Reply } from "./requests.ts";

/** What is revoked. Times in whole seconds since the epoch; that second itself counts as before. */
export type RevocationTarget =
  /** One token by its `iss` and `jti`; `issuer` "": the built-in one. */
  | { readonly kind: "token"; readonly issuer: string; readonly tokenId: string }
  /** `issuer` "": any; `issuedBefore` 0: now. */
  | {
      readonly kind: "subject";
      readonly issuer: string;
      readonly subject: string;
      readonly issuedBefore: number;
    }
  /** `issuedBefore` 0: now. */
  | { readonly kind: "issuer"; readonly issuer: string; readonly issuedBefore: number }
  /** x5t#S256 of a certificate. */
  | { readonly kind: "certificate"; readonly thumbprint: string };

export interface Revocation {
  readonly id: string;
  readonly target: RevocationTarget;
  /** The subject that revoked. */
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** When it is forgotten, as all that it names must have ended by then. */
  readonly expires: number;
}

export interface RevokeRequest {
  /** Undefined: the request names nothing, and is refused once it is known who asks. */
  readonly target: RevocationTarget | undefined;
  /** When the certificate ends, in milliseconds since the epoch; 0: unknown. */
  readonly certificateEnds: number;
}

/** `tenant`: the name of the one in which it holds; "": in all. */
export type Revoked = { readonly tenant: string; readonly revocation: Revocation };

/**
 * Revoked credentials. An operator who names no tenant, or `system`, revokes for the whole cluster;
 * whoever administers a tenant, for that one.
 */
export interface RevocationEdge {
  tokenRevoke(caller: Caller, request: RevokeRequest): Promise<Reply<Revoked>>;
  /** A page in order of id, from the first after `after`; `next` "": there are no more. */
  tokenRevocations(
    caller: Caller,
    request: { readonly after: string },
  ): Promise<
    Reply<{
      readonly tenant: string;
      readonly revocations: readonly Revocation[];
      readonly next: string;
    }>
  >;
  tokenUnrevoke(caller: Caller, id: string): Promise<Reply<Revoked>>;
}
