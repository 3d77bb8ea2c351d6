import { CofferError } from "../errors.ts";
import {
  type Actor,
  CLUSTER_SCOPE,
  type HistoryItem,
  type Key,
  keyAfter,
  revision,
} from "../core/types/mod.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  SYSTEM_TENANT_NAME,
  authorise,
  authoriseAdmin,
  authoriseAny,
  authoriseOperator,
  currentRevision,
  linearize,
  mayAdmin,
  requireTenant,
  runRequest,
} from "./gate.ts";
import { checkKey } from "./kv.ts";
import { checkTenantName } from "./tenants.ts";
import type { AuditQuery, Caller, Reply, TokenRequest } from "./requests.ts";
import { openKeyValue } from "./sealed-values.ts";

/** Who did what, who am I, and tokens for those who may hand them out. */

const HISTORY_ITEMS_MAX = 1000;
const AUDIT_LINES_MAX = 1000;
/** A token of the built-in issuer lives at most 30 days. */
const TOKEN_TTL_SECONDS_MAX = 30 * 24 * 3600;

export function history(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly key: Key; readonly before: number; readonly limit: number },
): Promise<Reply<readonly HistoryItem[]>> {
  const what = { action: "history", target: { key: request.key, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    checkKey(deps, request.key);
    const tenant = requireTenant(context);
    await linearize(context);
    authorise(context, "read", { lo: request.key, hi: keyAfter(request.key) });
    const limit = Math.min(
      request.limit > 0 ? request.limit : HISTORY_ITEMS_MAX,
      HISTORY_ITEMS_MAX,
    );
    const items = deps.node.state.history(tenant, request.key, Math.max(0, request.before), limit);
    const opened = items.map((item) => ({ ...item, kv: openKeyValue(deps.seal, tenant, item.kv) }));
    return { body: opened, revision: currentRevision(context) };
  });
}

/** This member's audit records of the caller's tenant; of all tenants for the system scope. */
export function auditTail(
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

export function whoAmI(
  deps: EdgeDeps,
  caller: Caller,
): Promise<
  Reply<{ readonly actor: Actor; readonly tenant: string; readonly groups: readonly string[] }>
> {
  return runRequest(deps, caller, { action: "whoami", target: NO_TARGET }, async (context) => {
    authoriseAny(context);
    const { principal, actor } = context;
    const body = { actor, tenant: principal.tenant, groups: principal.groups };
    return { body, revision: revision(0) };
  });
}

/**
 * A token of the built-in issuer. A tenant's admin may issue for that tenant alone; anything wider is
 * for the cluster's operators.
 */
export function tokenIssue(
  deps: EdgeDeps,
  caller: Caller,
  request: TokenRequest,
): Promise<Reply<{ readonly token: string; readonly expires: number }>> {
  const what = { action: "token-issue", target: { key: request.subject, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    const own = context.principal.tenant;
    const tenants = request.tenants.length === 0 ? [own] : request.tenants;
    for (const name of tenants) {
      if (name !== SYSTEM_TENANT_NAME && name !== "*") checkTenantName(name);
    }
    const onlyOwn = tenants.every((name) => name === own) && own !== SYSTEM_TENANT_NAME;
    if (!onlyOwn || !mayAdmin(context, "token/issue")) authoriseOperator(context, "token/issue");
    else if (request.subject !== context.principal.subject || request.groups.length > 0) {
      // To speak as another is to have that one's rights, as who writes the policy can.
      authoriseAdmin(context, "policy/change");
    }
    const { ttlSeconds } = request;
    if (!(ttlSeconds > 0 && ttlSeconds <= TOKEN_TTL_SECONDS_MAX)) {
      throw new CofferError(
        "invalid-argument",
        `a token lives from 1 second to ${TOKEN_TTL_SECONDS_MAX} seconds (30 days)`,
      );
    }
    const { token, expires } = await deps.tokens.issue({ ...request, tenants });
    const issued = JSON.stringify({ tenants, groups: request.groups, ttl: ttlSeconds });
    context.touched.push({ action: "token-issued", target: { key: issued, rangeEnd: "" } });
    return { body: { token, expires }, revision: revision(0) };
  });
}
