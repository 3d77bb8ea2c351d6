import type {
  LimitChanges,
  TenantCompaction,
  TenantInfo,
  TenantLimits,
} from "../core/types/mod.ts";
import type { TenantSample } from "../telemetry/mod.ts";
import type { Caller, Reply } from "./requests.ts";

/** A tenant, and what it does on the member that answers. */
export interface TenantView extends TenantInfo {
  /** Watches that run here. */
  readonly watches: number;
  /** Requests that a limit refused here since the start. */
  readonly requestsRefused: number;
}

export interface TenantCreateRequest {
  readonly name: string;
  /** The subject that gets every right in it; "": the caller. */
  readonly owner: string;
  readonly limits: TenantLimits;
  readonly compaction: TenantCompaction;
}

/** What is left out stays. */
export interface TenantUpdateRequest {
  readonly name: string;
  readonly newName?: string | undefined;
  readonly suspended?: boolean | undefined;
  readonly limits?: LimitChanges | undefined;
  readonly compaction?: TenantCompaction | undefined;
}

/** Tenants: virtual etcds. */
export interface TenantEdge {
  tenantCreate(caller: Caller, request: TenantCreateRequest): Promise<Reply<TenantView>>;
  /** Of those that the caller may see, by name: the first `limit` after `after`. */
  tenantList(
    caller: Caller,
    page: { readonly after: string; readonly limit: number },
  ): Promise<Reply<{ readonly tenants: readonly TenantView[]; readonly more: boolean }>>;
  tenantShow(caller: Caller, name: string): Promise<Reply<TenantView>>;
  /** Of two at once, each changes what it names; of what both name, the later one counts. */
  tenantUpdate(caller: Caller, request: TenantUpdateRequest): Promise<Reply<TenantView>>;
  tenantDelete(caller: Caller, name: string): Promise<Reply<undefined>>;
  /** Samples of all tenants; undefined for who is no operator, since they name every tenant. */
  tenantMetrics(caller: Caller): Promise<Reply<readonly TenantSample[] | undefined>>;
}
