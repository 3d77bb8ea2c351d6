import { CofferError } from "../errors.ts";
import { CLUSTER_SCOPE, type TenantInfo, revision } from "../core/types/mod.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  SYSTEM_TENANT_NAME,
  authoriseOperator,
  catchUp,
  denied,
  isOperator,
  linearize,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";
import type { TenantEdge } from "./tenant-requests.ts";

/** Tenants are made and removed by the cluster's operators, and seen by those who are bound to them. */

const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  SYSTEM_TENANT_NAME,
  "root",
  "sys",
  "auth",
  "cluster",
]);

/** Refuses a name that no tenant may have; says the rule. */
export function checkTenantName(name: string): void {
  if (!TENANT_NAME.test(name)) {
    throw new CofferError(
      "invalid-argument",
      "a tenant name is 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
    );
  }
  if (RESERVED_NAMES.has(name)) {
    throw new CofferError("invalid-argument", `the tenant name '${name}' is reserved`);
  }
}

export function tenantEdge(deps: EdgeDeps): TenantEdge {
  return {
    tenantCreate: (caller, request) => tenantCreate(deps, caller, request),
    tenantList: (caller) => tenantList(deps, caller),
    tenantShow: (caller, name) => tenantShow(deps, caller, name),
    tenantDelete: (caller, name) => tenantDelete(deps, caller, name),
  };
}

function tenantCreate(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly name: string; readonly owner: string },
): Promise<Reply<TenantInfo>> {
  const what = { action: "tenant-create", target: { key: request.name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await catchUp(context);
    // Before the keys are made, which costs time; and again at the policy revision proposed at.
    authoriseOperator(context, "tenant/create");
    checkTenantName(request.name);
    const id = deps.random.tenantId();
    const owner = request.owner === "" ? context.principal.subject : request.owner;
    const seeds = { add: deps.access.seedRows(owner), remove: [] };
    const records = [...deps.seal.newTenantKeys(id), ...deps.access.planPolicyChange([], seeds)];
    await proposeAsOperator(context, "tenant/create", {
      kind: "tenant-create",
      id,
      name: request.name,
      records,
    });
    const made = deps.node.state.tenant(id);
    if (made === undefined) throw new CofferError("conflict", "the tenant was deleted meanwhile");
    return { body: made, revision: revision(0) };
  });
}

function tenantDelete(deps: EdgeDeps, caller: Caller, name: string): Promise<Reply<undefined>> {
  const what = { action: "tenant-delete", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseOperator(context, "tenant/delete");
    const tenant = deps.node.state.tenantByName(name);
    if (tenant === undefined) throw new CofferError("not-found", `tenant '${name}'`);
    await proposeAsOperator(context, "tenant/delete", { kind: "tenant-delete", id: tenant.id });
    return { body: undefined, revision: revision(0) };
  });
}

function tenantList(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly TenantInfo[]>> {
  return runRequest(deps, caller, { action: "tenant-list", target: NO_TARGET }, async (context) => {
    await linearize(context);
    const seen = deps.node.state.tenants().filter((tenant) => maySee(context, tenant));
    if (seen.length === 0 && !isOperator(context, "tenant/read")) {
      throw denied("no right in any tenant");
    }
    return { body: seen, revision: revision(0) };
  });
}

function tenantShow(deps: EdgeDeps, caller: Caller, name: string): Promise<Reply<TenantInfo>> {
  const what = { action: "tenant-show", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    const tenant = deps.node.state.tenantByName(name);
    // The same refusal whether there is no such tenant or the caller may not know of it.
    if (tenant === undefined || !maySee(context, tenant)) {
      if (isOperator(context, "tenant/read"))
        throw new CofferError("not-found", `tenant '${name}'`);
      throw denied("not bound to that tenant");
    }
    return { body: tenant, revision: revision(0) };
  });
}

function maySee(context: RequestContext, tenant: TenantInfo): boolean {
  if (isOperator(context, "tenant/read")) return true;
  const { principal, deps } = context;
  const bound = principal.tenants === "*" || principal.tenants.includes(tenant.name);
  return bound && deps.access.hasGrant(principal, tenant.id);
}

/** Proposes in the cluster's scope, checked against that scope's policy. */
async function proposeAsOperator(
  context: RequestContext,
  matter: "tenant/create" | "tenant/delete",
  command: Parameters<EdgeDeps["node"]["propose"]>[0]["command"],
): Promise<void> {
  const { deps } = context;
  for (;;) {
    authoriseOperator(context, matter);
    const result = await deps.node.propose({
      tenant: CLUSTER_SCOPE,
      policyRevision: deps.node.state.policyRevision(CLUSTER_SCOPE),
      actor: context.actor,
      command,
    });
    if (result.kind === "error") throw new CofferError(result.code, result.detail);
    if (result.kind === "stale-policy") {
      await linearize(context);
      continue;
    }
    resultOf(result, "done");
    return;
  }
}
