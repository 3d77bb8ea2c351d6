import type { Edge, IssuerInfo } from "../../edge/mod.ts";
import { issuerApi } from "../../proto/mod.ts";
import { type Method, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Issuers. */
export function issuerMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Issuers/Add",
      { request: issuerApi.IssuerAddRequest, response: issuerApi.IssuerResponse },
      async (caller, { record, replace }) => {
        const { header, body } = await edge.issuerAdd(caller, { record, replace });
        return { header: headerOf(header), issuer: issuerMessage(body) };
      },
    ),
    unary(
      "/coffer.v1.Issuers/List",
      { request: issuerApi.IssuerListRequest, response: issuerApi.IssuerListResponse },
      async (caller) => {
        const { header, body } = await edge.issuerList(caller);
        return { header: headerOf(header), issuers: body.map(issuerMessage) };
      },
    ),
    unary(
      "/coffer.v1.Issuers/Show",
      { request: issuerApi.IssuerShowRequest, response: issuerApi.IssuerResponse },
      async (caller, { issuer }) => {
        const { header, body } = await edge.issuerShow(caller, issuer);
        return { header: headerOf(header), issuer: issuerMessage(body) };
      },
    ),
    unary(
      "/coffer.v1.Issuers/Remove",
      { request: issuerApi.IssuerRemoveRequest, response: issuerApi.IssuerRemoveResponse },
      async (caller, { issuer }) => {
        const { header } = await edge.issuerRemove(caller, issuer);
        return { header: headerOf(header) };
      },
    ),
  ];
}

function issuerMessage({ keys, ...info }: IssuerInfo): issuerApi.Issuer {
  return { ...info, keys: whole(keys) };
}
