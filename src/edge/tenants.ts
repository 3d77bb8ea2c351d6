import { CofferError } from "../errors.ts";
import { type Command, type TenantInfo, isTenantName, revision } from "../core/types/mod.ts";
import type { TenantSample } from "../telemetry/mod.ts";
import { actOnCluster } from "./cluster-records.ts";
import { credentialFailure } from "./credentials.ts";
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
import type { AdminMatter } from "./ports.ts";
import { proposeChecked } from "./propose.ts";
import type { Caller, Reply } from "./requests.ts";
import { checkCompaction, checkLimits, wholeChanges } from "./tenant-limits.ts";
import type {
  TenantCreateRequest,
  TenantEdge,
  TenantUpdateRequest,
  TenantView,
} from "./tenant-requests.ts";

/** Tenants are made and changed by the cluster's operators, and seen by those who are bound to them. */

const RESERVED_NAMES: ReadonlySet<string> = new Set([
  SYSTEM_TENANT_NAME,
  "root",
  "sys",
  "auth",
  "cluster",
]);
/** Tenants of one page: about a millisecond of this thread. */
const PAGE_MAX = 1000;

/** Refuses a name that no tenant may have; says the rule. */
export function checkTenantName(name: string): void {
  if (!isTenantName(name)) {
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
    tenantList: (caller, page) => tenantList(deps, caller, page),
    tenantShow: (caller, name) => tenantShow(deps, caller, name),
    tenantUpdate: (caller, request) => tenantUpdate(deps, caller, request),
    tenantDelete: (caller, name) => tenantDelete(deps, caller, name),
    tenantMetrics: (caller) => tenantMetrics(deps, caller),
  };
}

function tenantCreate(
  deps: EdgeDeps,
  caller: Caller,
  request: TenantCreateRequest,
): Promise<Reply<TenantView>> {
  const what = { action: "tenant-create", target: { key: request.name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await catchUp(context);
    // Before the keys are made, which costs time; and again at the policy revision proposed at.
    authoriseOperator(context, "tenant/create");
    const { name, limits, compaction } = request;
    checkTenantName(name);
    checkLimits(limits);
    checkCompaction(compaction);
    const id = deps.random.tenantId();
    const owner = request.owner === "" ? context.principal.subject : request.owner;
    const seeds = { add: deps.access.seedRows(owner), remove: [] };
    const records = [...deps.seal.newTenantKeys(id), ...deps.access.planPolicyChange([], seeds)];
    const command: Command = { kind: "tenant-create", id, name, records, limits, compaction };
    await proposeAsOperator(context, "tenant/create", command);
    return { body: viewNow(deps, id), revision: revision(0) };
  });
}

function tenantUpdate(
  deps: EdgeDeps,
  caller: Caller,
  request: TenantUpdateRequest,
): Promise<Reply<TenantView>> {
  const { name, newName, suspended, limits, compaction } = request;
  const what = { action: "tenant-update", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseOperator(context, "tenant/update");
    if (newName !== undefined) checkTenantName(newName);
    if (limits !== undefined) checkLimits(limits);
    if (compaction !== undefined) checkCompaction(compaction);
    const { id } = tenantNamed(deps, name);
    const command: Command = {
      kind: "tenant-update",
      id,
      ...(newName === undefined ? {} : { name: newName }),
      ...(suspended === undefined ? {} : { suspended }),
      ...(limits === undefined ? {} : { limits: wholeChanges(limits) }),
      ...(compaction === undefined ? {} : { compaction }),
    };
    await proposeAsOperator(context, "tenant/update", command);
    const changes = JSON.stringify({ newName, suspended, limits, compaction });
    context.touched.push({ action: "tenant-updated", target: { key: changes, rangeEnd: "" } });
    return { body: viewNow(deps, id), revision: revision(0) };
  });
}

function tenantDelete(deps: EdgeDeps, caller: Caller, name: string): Promise<Reply<undefined>> {
  const what = { action: "tenant-delete", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseOperator(context, "tenant/delete");
    const { id } = tenantNamed(deps, name);
    await proposeAsOperator(context, "tenant/delete", { kind: "tenant-delete", id });
    return { body: undefined, revision: revision(0) };
  });
}

function tenantList(
  deps: EdgeDeps,
  caller: Caller,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<Reply<{ readonly tenants: readonly TenantView[]; readonly more: boolean }>> {
  return runRequest(deps, caller, { action: "tenant-list", target: NO_TARGET }, async (context) => {
    await linearize(context);
    const { state } = deps.node;
    const seesAll = isOperator(context, "tenant/read");
    if (seesAll) authoriseOperator(context, "tenant/read");
    const seen = seesAll ? state.tenants() : boundTenants(context);
    if (seen.length === 0 && !seesAll) throw denied("no right in any tenant");
    const rest = after === "" ? seen : seen.filter(({ name }) => name > after);
    const page = rest.slice(0, limit > 0 ? Math.min(limit, PAGE_MAX) : PAGE_MAX);
    const tenants = page.map((tenant) => viewOf(deps, tenant));
    return { body: { tenants, more: page.length < rest.length }, revision: revision(0) };
  });
}

function tenantShow(deps: EdgeDeps, caller: Caller, name: string): Promise<Reply<TenantView>> {
  const what = { action: "tenant-show", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    if (isOperator(context, "tenant/read")) {
      authoriseOperator(context, "tenant/read");
      return { body: viewOf(deps, tenantNamed(deps, name)), revision: revision(0) };
    }
    // The same refusal whether there is no such tenant or the caller may not know of it.
    const tenant = boundTenants(context).find((bound) => bound.name === name);
    if (tenant === undefined) throw denied("not bound to that tenant");
    return { body: viewOf(deps, tenant), revision: revision(0) };
  });
}

/** By name. Who may not is answered without them: the other metrics are for all who reach the port. */
function tenantMetrics(
  deps: EdgeDeps,
  caller: Caller,
): Promise<Reply<readonly TenantSample[] | undefined>> {
  const what = { action: "metrics", target: NO_TARGET, onLearner: true };
  return runRequest(deps, caller, what, async (context) => {
    if (!isOperator(context, "metrics/read")) return { body: undefined, revision: revision(0) };
    authoriseOperator(context, "metrics/read");
    const body = deps.node.state.tenants().map((tenant): TenantSample => {
      const { name, limits, usage, suspended } = tenant;
      return { name, limits, usage, suspended, ...deps.activity.now(tenant.id) };
    });
    return { body, revision: revision(0) };
  });
}

/** The tenants that the caller is bound to, with credentials good there, and holds a right in, by name. */
function boundTenants({ principal, caller, deps }: RequestContext): readonly TenantInfo[] {
  const { state } = deps.node;
  const { tenants } = principal;
  const bound =
    tenants === "*"
      ? state.tenants()
      : [...new Set(tenants)].toSorted().flatMap((name) => state.tenantByName(name) ?? []);
  return bound.filter(({ id, name }) => {
    const there = { deps, caller, principal: { ...principal, tenant: name }, scope: id };
    return credentialFailure(there) === undefined && deps.access.hasGrant(principal, id);
  });
}

function viewNow(deps: EdgeDeps, id: TenantInfo["id"]): TenantView {
  const tenant = deps.node.state.tenant(id);
  if (tenant === undefined) throw new CofferError("conflict", "the tenant was deleted meanwhile");
  return viewOf(deps, tenant);
}

function viewOf(deps: EdgeDeps, tenant: TenantInfo): TenantView {
  const { watches, refused } = deps.activity.now(tenant.id);
  const requestsRefused = [...refused.values()].reduce((sum, count) => sum + count, 0);
  return { ...tenant, watches, requestsRefused };
}

function tenantNamed(deps: EdgeDeps, name: string): TenantInfo {
  const tenant = deps.node.state.tenantByName(name);
  if (tenant === undefined) throw noSuchTenant(name);
  return tenant;
}

function noSuchTenant(name: string): CofferError {
  return new CofferError("not-found", `tenant '${name}'`);
}

/** Proposes in the cluster's scope, checked against that scope's policy. */
async function proposeAsOperator(
  context: RequestContext,
  matter: AdminMatter,
  command: Command,
): Promise<void> {
  actOnCluster(context);
  const result = await proposeChecked(context, () => {
    authoriseOperator(context, matter);
    return command;
  });
  resultOf(result, "done");
}
