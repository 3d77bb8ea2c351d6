import { policyApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Policies. */
export interface PolicyCalls {
  readonly policyList: Unary<api.PolicyListRequest, api.PolicyListResponse>;
  readonly policyChange: Unary<api.PolicyChangeRequest, api.PolicyChangeResponse>;
  readonly policyAsk: Unary<api.PolicyAskRequest, api.PolicyAskResponse>;
  readonly policyWhoCan: Unary<api.PolicyWhoCanRequest, api.PolicyWhoCanResponse>;
  readonly policyExplain: Unary<api.PolicyExplainRequest, api.PolicyExplainResponse>;
  readonly policyTry: Unary<api.PolicyTryRequest, api.PolicyTryResponse>;
}

export function policyCalls(call: CallUnary): PolicyCalls {
  return {
    policyList: call("/coffer.v1.Policies/List", api.PolicyListRequest, api.PolicyListResponse),
    policyChange: call(
      "/coffer.v1.Policies/Change",
      api.PolicyChangeRequest,
      api.PolicyChangeResponse,
    ),
    policyAsk: call("/coffer.v1.Policies/Ask", api.PolicyAskRequest, api.PolicyAskResponse),
    policyWhoCan: call(
      "/coffer.v1.Policies/WhoCan",
      api.PolicyWhoCanRequest,
      api.PolicyWhoCanResponse,
    ),
    policyExplain: call(
      "/coffer.v1.Policies/Explain",
      api.PolicyExplainRequest,
      api.PolicyExplainResponse,
    ),
    policyTry: call("/coffer.v1.Policies/Try", api.PolicyTryRequest, api.PolicyTryResponse),
  };
}
