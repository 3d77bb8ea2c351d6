import type { TenantInfo } from "../../core/types/mod.ts";
import type { Edge } from "../../edge/mod.ts";
import { tenantApi } from "../../proto/mod.ts";
import { type Method, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Tenants. */
export function tenantMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Tenants/Create",
      { request: tenantApi.TenantCreateRequest, response: tenantApi.TenantResponse },
      async (caller, { name, owner }) => {
        const { header, body } = await edge.tenantCreate(caller, { name, owner });
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/List",
      { request: tenantApi.TenantListRequest, response: tenantApi.TenantListResponse },
      async (caller) => {
        const { header, body } = await edge.tenantList(caller);
        return { header: headerOf(header), tenants: body.map(tenantOf) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/Show",
      { request: tenantApi.TenantShowRequest, response: tenantApi.TenantResponse },
      async (caller, { name }) => {
        const { header, body } = await edge.tenantShow(caller, name);
        return { header: headerOf(header), tenant: tenantOf(body) };
      },
    ),
    unary(
      "/coffer.v1.Tenants/Delete",
      { request: tenantApi.TenantDeleteRequest, response: tenantApi.TenantDeleteResponse },
      async (caller, { name }) => ({
        header: headerOf((await edge.tenantDelete(caller, name)).header),
      }),
    ),
  ];
}

function tenantOf(info: TenantInfo): tenantApi.Tenant {
  return {
    id: info.id,
    name: info.name,
    created: whole(info.created),
    revision: whole(info.revision),
    compactRevision: whole(info.compactRevision),
    policyRevision: whole(info.policyRevision),
  };
}
