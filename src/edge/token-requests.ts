import type { Actor } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

export interface TokenRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly tenants: readonly string[];
  readonly ttlSeconds: number;
}

/** Credentials. */
export interface TokenEdge {
  tokenIssue(
    caller: Caller,
    request: TokenRequest,
  ): Promise<Reply<{ readonly token: string; readonly expires: number }>>;
  /** Who the caller is taken for. */
  whoAmI(
    caller: Caller,
  ): Promise<
    Reply<{ readonly actor: Actor; readonly tenant: string; readonly groups: readonly string[] }>
  >;
}
