import type { Client, issuerApi } from "../../client/mod.ts";
import { CofferError } from "../../errors.ts";
import { countOf, replyOf } from "../from-message.ts";
import type { IssuerPort, IssuerRow } from "../token-port.ts";

export function issuerCalls(client: Client): IssuerPort {
  return {
    issuerAdd: async (request) => {
      const response = await client.issuerAdd(request);
      return replyOf(response, rowOf(response.issuer));
    },
    issuerList: async () => {
      const response = await client.issuerList();
      return replyOf(response, response.issuers.map(rowOf));
    },
    issuerShow: async (issuer) => {
      const response = await client.issuerShow({ issuer });
      return replyOf(response, rowOf(response.issuer));
    },
    issuerRemove: async (issuer) => replyOf(await client.issuerRemove({ issuer }), undefined),
  };
}

function rowOf(message: issuerApi.Issuer | undefined): IssuerRow {
  if (message === undefined) throw new CofferError("internal", "the server's reply lacks a part");
  return { ...message, keys: countOf(message.keys) };
}
