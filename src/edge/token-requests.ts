import type { Actor } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

export interface TokenRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tenants: readonly string[];
  readonly ttlSeconds: number;
  /** x5t#S256 of the certificate without which the token is worth nothing; "": it needs none. */
  readonly certificate: string;
}

export interface TokenReply {
  readonly token: string;
  /** Its `jti`. */
  readonly tokenId: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** Credentials. */
export interface TokenEdge {
  tokenIssue(caller: Caller, request: TokenRequest): Promise<Reply<TokenReply>>;
  /**
   * A new key signs from now on. The former ones verify until the last token that they signed has ended,
   * or with `dropFormer` no more.
   */
  tokenRotateKey(
    caller: Caller,
    request: { readonly dropFormer: boolean },
  ): Promise<Reply<{ readonly keyId: string }>>;
  /** Who the caller is taken for. */
  whoAmI(
    caller: Caller,
  ): Promise<
    Reply<{ readonly actor: Actor; readonly tenant: string; readonly groups: readonly string[] }>
  >;
}
