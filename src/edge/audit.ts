import { CLUSTER_SCOPE, revision } from "../core/types/mod.ts";
import type { AuditEdge, AuditQuery } from "./audit-requests.ts";
import { type EdgeDeps, NO_TARGET, authoriseAdmin, linearize, runRequest } from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";

const AUDIT_LINES_MAX = 1000;

export function auditEdge(deps: EdgeDeps): AuditEdge {
  return { auditTail: (caller, query) => auditTail(deps, caller, query) };
}

/** This member's audit records of the caller's tenant; of all tenants for the system scope. */
function auditTail(
  deps: EdgeDeps,
  caller: Caller,
  query: AuditQuery,
): Promise<Reply<readonly string[]>> {
  return runRequest(deps, caller, { action: "audit-tail", target: NO_TARGET }, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "audit/read");
    const limit = Math.min(query.limit > 0 ? query.limit : AUDIT_LINES_MAX, AUDIT_LINES_MAX);
    const tenant = context.scope === CLUSTER_SCOPE ? "" : context.scope;
    const lines = await deps.audit.tail({ ...query, limit, tenant });
    return { body: lines, revision: revision(0) };
  });
}
