import type { Actor } from "../core/types/mod.ts";
import type { Reply } from "./client-port.ts";

/** Credentials. */
export interface TokenPort {
  tokenIssue(request: TokenRequest): Promise<Reply<IssuedToken>>;
  whoAmI(): Promise<
    Reply<{ readonly actor: Actor; readonly tenant: string; readonly groups: readonly string[] }>
  >;
  tokenRotateKey(request: {
    readonly dropFormer: boolean;
  }): Promise<Reply<{ readonly keyId: string }>>;
  tokenRevoke(request: {
    readonly target: RevocationTarget;
    /** Milliseconds since the epoch; 0: unknown. */
    readonly certificateEnds: number;
  }): Promise<Reply<Revoked>>;
  /** All of them, the oldest first. */
  tokenRevocations(): Promise<
    Reply<{ readonly tenant: string; readonly revocations: readonly Revocation[] }>
  >;
  tokenUnrevoke(id: string): Promise<Reply<Revoked>>;
}

/** Whose tokens are taken. */
export interface IssuerPort {
  /** `record`: JSON in UTF-8. */
  issuerAdd(request: {
    readonly record: Uint8Array;
    readonly replace: boolean;
  }): Promise<Reply<IssuerRow>>;
  issuerList(): Promise<Reply<readonly IssuerRow[]>>;
  issuerShow(issuer: string): Promise<Reply<IssuerRow>>;
  issuerRemove(issuer: string): Promise<Reply<undefined>>;
}

export interface TokenRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tenants: readonly string[];
  readonly ttlSeconds: number;
  /** x5t#S256; "": none. */
  readonly certificate: string;
}

export interface IssuedToken {
  readonly token: string;
  /** Its `jti`. */
  readonly tokenId: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Times in whole seconds since the epoch, 0: now; an issuer "": the built-in one, or of a subject any. */
export type RevocationTarget =
  | { readonly kind: "token"; readonly issuer: string; readonly tokenId: string }
  | {
      readonly kind: "subject";
      readonly issuer: string;
      readonly subject: string;
      readonly issuedBefore: number;
    }
  | { readonly kind: "issuer"; readonly issuer: string; readonly issuedBefore: number }
  | { readonly kind: "certificate"; readonly thumbprint: string };

export interface Revocation {
  readonly id: string;
  readonly target: RevocationTarget;
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly expires: number;
}

/** `tenant`: where it holds; "": everywhere. */
export interface Revoked {
  readonly tenant: string;
  readonly revocation: Revocation;
}

export interface IssuerRow {
  readonly issuer: string;
  /** JSON. */
  readonly record: string;
  readonly isBuiltin: boolean;
  /** Keys that the member which answers knows. */
  readonly keys: number;
  /** Why it could not fetch them; "": it could. */
  readonly failure: string;
}
