import { tokenApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Tokens. */
export interface TokenCalls {
  readonly tokenIssue: Unary<api.TokenIssueRequest, api.TokenIssueResponse>;
  readonly tokenRotateKey: Unary<api.TokenRotateKeyRequest, api.TokenRotateKeyResponse>;
  readonly tokenRevoke: Unary<api.TokenRevokeRequest, api.TokenRevokeResponse>;
  readonly tokenRevocations: Unary<api.TokenRevocationsRequest, api.TokenRevocationsResponse>;
  readonly tokenUnrevoke: Unary<api.TokenUnrevokeRequest, api.TokenRevokeResponse>;
  readonly whoAmI: Unary<api.WhoAmIRequest, api.WhoAmIResponse>;
}

export function tokenCalls(call: CallUnary): TokenCalls {
  const path = "/coffer.v1.Tokens/";
  return {
    tokenIssue: call(`${path}Issue`, api.TokenIssueRequest, api.TokenIssueResponse),
    tokenRotateKey: call(`${path}RotateKey`, api.TokenRotateKeyRequest, api.TokenRotateKeyResponse),
    tokenRevoke: call(`${path}Revoke`, api.TokenRevokeRequest, api.TokenRevokeResponse),
    tokenRevocations: call(
      `${path}Revocations`,
      api.TokenRevocationsRequest,
      api.TokenRevocationsResponse,
    ),
    tokenUnrevoke: call(`${path}Unrevoke`, api.TokenUnrevokeRequest, api.TokenRevokeResponse),
    whoAmI: call(`${path}WhoAmI`, api.WhoAmIRequest, api.WhoAmIResponse),
  };
}
