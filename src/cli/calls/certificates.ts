import type { Client } from "../../client/mod.ts";
import { CofferError } from "../../errors.ts";
import type { CertificatePort } from "../certificate-port.ts";
import { replyOf } from "../from-message.ts";

export function certificateCalls(client: Client): CertificatePort {
  return {
    certificateRuleAdd: async (request) => {
      const response = await client.certificateRuleAdd(request);
      const { rule } = response;
      if (rule === undefined) throw new CofferError("internal", "the server's reply lacks a part");
      return replyOf(response, rule);
    },
    certificateRuleList: async () => {
      const response = await client.certificateRuleList();
      return replyOf(response, response.rules);
    },
    certificateRuleRemove: async (name) =>
      replyOf(await client.certificateRuleRemove({ name }), undefined),
    certificateTest: async (certificate) => {
      const response = await client.certificateTest({ certificate });
      const { rule, refusal, subject, groups, tenants, distrust } = response;
      return replyOf(response, { rule, refusal, subject, groups, tenants, distrust });
    },
  };
}
