import { certificateApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Certificates. */
export interface CertificateCalls {
  readonly certificateRuleAdd: Unary<api.CertificateRuleAddRequest, api.CertificateRuleResponse>;
  readonly certificateRuleList: Unary<
    api.CertificateRuleListRequest,
    api.CertificateRuleListResponse
  >;
  readonly certificateRuleRemove: Unary<
    api.CertificateRuleRemoveRequest,
    api.CertificateRuleRemoveResponse
  >;
  readonly certificateTest: Unary<api.CertificateTestRequest, api.CertificateTestResponse>;
}

export function certificateCalls(call: CallUnary): CertificateCalls {
  const path = "/coffer.v1.Certificates/";
  return {
    certificateRuleAdd: call(
      `${path}RuleAdd`,
      api.CertificateRuleAddRequest,
      api.CertificateRuleResponse,
    ),
    certificateRuleList: call(
      `${path}RuleList`,
      api.CertificateRuleListRequest,
      api.CertificateRuleListResponse,
    ),
    certificateRuleRemove: call(
      `${path}RuleRemove`,
      api.CertificateRuleRemoveRequest,
      api.CertificateRuleRemoveResponse,
    ),
    certificateTest: call(`${path}Test`, api.CertificateTestRequest, api.CertificateTestResponse),
  };
}
