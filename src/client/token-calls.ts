import { tokenApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Tokens. */
export interface TokenCalls {
  readonly tokenIssue: Unary<api.TokenIssueRequest, api.TokenIssueResponse>;
  readonly whoAmI: Unary<api.WhoAmIRequest, api.WhoAmIResponse>;
}

export function tokenCalls(call: CallUnary): TokenCalls {
  return {
    tokenIssue: call("/coffer.v1.Tokens/Issue", api.TokenIssueRequest, api.TokenIssueResponse),
    whoAmI: call("/coffer.v1.Tokens/WhoAmI", api.WhoAmIRequest, api.WhoAmIResponse),
  };
}
