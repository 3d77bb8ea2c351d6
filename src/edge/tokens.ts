import { CofferError } from "../errors.ts";
import { type Actor, revision } from "../core/types/mod.ts";
import { enterCluster } from "./cluster-records.ts";
import { proposeCredentials } from "./credential-turns.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  SYSTEM_TENANT_NAME,
  authoriseAdmin,
  authoriseAny,
  authoriseOperator,
  linearize,
  mayAdmin,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Principal } from "./ports.ts";
import type { Caller, Reply } from "./requests.ts";
import { checkTenantName } from "./tenants.ts";
import type { TokenEdge, TokenReply, TokenRequest } from "./token-requests.ts";

/** A token of the built-in issuer lives at most 30 days. */
const TOKEN_TTL_SECONDS_MAX = 30 * 24 * 3600;

export function tokenEdge(deps: EdgeDeps): TokenEdge {
  return {
    tokenIssue: (caller, request) => tokenIssue(deps, caller, request),
    tokenRotateKey: (caller, request) => tokenRotateKey(deps, caller, request.dropFormer),
    whoAmI: (caller) => whoAmI(deps, caller),
  };
}

function whoAmI(
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
function tokenIssue(
  deps: EdgeDeps,
  caller: Caller,
  request: TokenRequest,
): Promise<Reply<TokenReply>> {
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
    else if (!isSame(context.principal, request)) {
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
    const tenantIds = tenantIdsOf(deps, tenants);
    const { token, tokenId, expires } = await deps.tokens.issue({ ...request, tenants, tenantIds });
    const issued = JSON.stringify({ tenants, groups: request.groups, ttl: ttlSeconds, tokenId });
    context.touched.push({ action: "token-issued", target: { key: issued, rangeEnd: "" } });
    return { body: { token, tokenId, expires }, revision: revision(0) };
  });
}

/** With other groups, or none, one is another: a row may deny something to a group. */
function isSame(principal: Principal, { subject, groups }: TokenRequest): boolean {
  return subject === principal.subject && groups.length + principal.groups.length === 0;
}

/** Which tenants the names mean now: the token is not for a later one of the same name. */
function tenantIdsOf(
  { node }: EdgeDeps,
  names: readonly string[],
): Readonly<Record<string, string>> {
  const named = names.filter((name) => name !== SYSTEM_TENANT_NAME && name !== "*");
  return Object.fromEntries(
    named.map((name) => {
      const id = node.state.tenantByName(name)?.id;
      if (id === undefined) {
        throw new CofferError(
          "not-found",
          `tenant '${name}'; a token is for one that is there: coffer tenant create`,
        );
      }
      return [name, id];
    }),
  );
}

function tokenRotateKey(
  deps: EdgeDeps,
  caller: Caller,
  dropFormer: boolean,
): Promise<Reply<{ readonly keyId: string }>> {
  const what = { action: "token-rotate-key", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    let made = "";
    const authorise = (): void => authoriseOperator(context, "token/rotate-key");
    const result = await proposeCredentials(context, authorise, async () => {
      const { keyId, changes } = await deps.tokens.planRotation(dropFormer);
      made = keyId;
      return { kind: "records", changes };
    }).catch((error: unknown) => {
      if (!(error instanceof CofferError) || error.code !== "not-found") throw error;
      throw new CofferError("conflict", "somebody else has just rotated the key");
    });
    resultOf(result, "done");
    const target = { key: JSON.stringify({ keyId: made, dropFormer }), rangeEnd: "" };
    context.touched.push({ action: "token-key-rotated", target });
    return { body: { keyId: made }, revision: revision(0) };
  });
}
