import { issuerApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Issuers. */
export interface IssuerCalls {
  readonly issuerAdd: Unary<api.IssuerAddRequest, api.IssuerResponse>;
  readonly issuerList: Unary<api.IssuerListRequest, api.IssuerListResponse>;
  readonly issuerShow: Unary<api.IssuerShowRequest, api.IssuerResponse>;
  readonly issuerRemove: Unary<api.IssuerRemoveRequest, api.IssuerRemoveResponse>;
}

export function issuerCalls(call: CallUnary): IssuerCalls {
  const path = "/coffer.v1.Issuers/";
  return {
    issuerAdd: call(`${path}Add`, api.IssuerAddRequest, api.IssuerResponse),
    issuerList: call(`${path}List`, api.IssuerListRequest, api.IssuerListResponse),
    issuerShow: call(`${path}Show`, api.IssuerShowRequest, api.IssuerResponse),
    issuerRemove: call(`${path}Remove`, api.IssuerRemoveRequest, api.IssuerRemoveResponse),
  };
}
