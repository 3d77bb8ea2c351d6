import type { Edge } from "../../edge/mod.ts";
import { certificateApi } from "../../proto/mod.ts";
import { type Method, headerOf, unary } from "./method.ts";

/** coffer.v1.Certificates. */
export function certificateMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Certificates/RuleAdd",
      {
        request: certificateApi.CertificateRuleAddRequest,
        response: certificateApi.CertificateRuleResponse,
      },
      async (caller, { record, authority, replace }) => {
        const request = { record, authority, replace };
        const { header, body } = await edge.certificateRuleAdd(caller, request);
        return { header: headerOf(header), rule: body };
      },
    ),
    unary(
      "/coffer.v1.Certificates/RuleList",
      {
        request: certificateApi.CertificateRuleListRequest,
        response: certificateApi.CertificateRuleListResponse,
      },
      async (caller) => {
        const { header, body } = await edge.certificateRuleList(caller);
        return { header: headerOf(header), rules: [...body] };
      },
    ),
    unary(
      "/coffer.v1.Certificates/RuleRemove",
      {
        request: certificateApi.CertificateRuleRemoveRequest,
        response: certificateApi.CertificateRuleRemoveResponse,
      },
      async (caller, { name }) => {
        const { header } = await edge.certificateRuleRemove(caller, name);
        return { header: headerOf(header) };
      },
    ),
    unary(
      "/coffer.v1.Certificates/Test",
      {
        request: certificateApi.CertificateTestRequest,
        response: certificateApi.CertificateTestResponse,
      },
      async (caller, { certificate }) => {
        const { header, body } = await edge.certificateTest(caller, certificate);
        const { groups, tenants, ...verdict } = body;
        const names = tenants === "*" ? ["*"] : [...tenants];
        return { header: headerOf(header), ...verdict, groups: [...groups], tenants: names };
      },
    ),
  ];
}
