import { tenantApi as api } from "../proto/mod.ts";
import type { CallUnary, Unary } from "./unary.ts";

/** coffer.v1.Tenants. */
export interface TenantCalls {
  readonly tenantCreate: Unary<api.TenantCreateRequest, api.TenantResponse>;
  readonly tenantList: Unary<api.TenantListRequest, api.TenantListResponse>;
  readonly tenantShow: Unary<api.TenantShowRequest, api.TenantResponse>;
  readonly tenantUpdate: Unary<api.TenantUpdateRequest, api.TenantResponse>;
  readonly tenantDelete: Unary<api.TenantDeleteRequest, api.TenantDeleteResponse>;
}

export function tenantCalls(call: CallUnary): TenantCalls {
  return {
    tenantCreate: call("/coffer.v1.Tenants/Create", api.TenantCreateRequest, api.TenantResponse),
    tenantList: call("/coffer.v1.Tenants/List", api.TenantListRequest, api.TenantListResponse),
    tenantShow: call("/coffer.v1.Tenants/Show", api.TenantShowRequest, api.TenantResponse),
    tenantUpdate: call("/coffer.v1.Tenants/Update", api.TenantUpdateRequest, api.TenantResponse),
    tenantDelete: call(
      "/coffer.v1.Tenants/Delete",
      api.TenantDeleteRequest,
      api.TenantDeleteResponse,
    ),
  };
}
