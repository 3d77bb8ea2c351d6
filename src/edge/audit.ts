import { CLUSTER_SCOPE, type TenantId, revision } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { AuditEdge, AuditFound, AuditSearch } from "./audit-requests.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authoriseAdmin,
  linearize,
  runRequest,
} from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";

const AUDIT_LINES_MAX = 1000;

export function auditEdge(deps: EdgeDeps): AuditEdge {
  return {
    auditSearch: (caller, search) => auditSearch(deps, caller, search),
    auditCheckpoints: (caller) => auditCheckpoints(deps, caller),
  };
}

function auditSearch(
  deps: EdgeDeps,
  caller: Caller,
  search: AuditSearch,
): Promise<Reply<AuditFound>> {
  const what = { action: "audit-search", target: { key: search.keyPrefix, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "audit/read");
    const limit = Math.min(search.limit > 0 ? search.limit : AUDIT_LINES_MAX, AUDIT_LINES_MAX);
    const tenant = tenantOf(context, search.tenant);
    const body = await deps.audit.search({ ...search, limit }, { tenant, asker: context.scope });
    return { body, revision: revision(0) };
  });
}

/** Whose records are asked for; undefined: all of the member. */
function tenantOf({ scope, deps }: RequestContext, wanted: string): TenantId | undefined {
  if (scope !== CLUSTER_SCOPE) {
    if (wanted === "") return scope;
    throw new CofferError("invalid-argument", "a tenant searches its own records; name none");
  }
  if (wanted === "") return undefined;
  // One that was deleted has no name any more, and its records are still here.
  return deps.node.state.tenantByName(wanted)?.id ?? (wanted as TenantId);
}

function auditCheckpoints(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly string[]>> {
  const what = { action: "audit-checkpoints", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "audit/read");
    const records = deps.node.state.records(context.scope, "checkpoint");
    const body = records.map(({ data }) => new TextDecoder().decode(data));
    return { body, revision: revision(0) };
  });
}
