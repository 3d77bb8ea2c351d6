import type { TenantInfo } from "../core/types/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** Tenants: virtual etcds. */
export interface TenantEdge {
  tenantCreate(
    caller: Caller,
    request: { readonly name: string; readonly owner: string },
  ): Promise<Reply<TenantInfo>>;
  tenantList(caller: Caller): Promise<Reply<readonly TenantInfo[]>>;
  tenantShow(caller: Caller, name: string): Promise<Reply<TenantInfo>>;
  tenantDelete(caller: Caller, name: string): Promise<Reply<undefined>>;
}
