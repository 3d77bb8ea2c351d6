import { CLUSTER_SCOPE, revision } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { actOnCluster } from "./cluster-records.ts";
import { proposeCredentials } from "./credential-turns.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  SYSTEM_TENANT_NAME,
  authoriseAdmin,
  authoriseOperator,
  isOperator,
  linearize,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";
import type {
  Revocation,
  RevocationEdge,
  RevocationTarget,
  RevokeRequest,
  Revoked,
} from "./revocation-requests.ts";

/** Credentials that are to work no more, in the whole cluster or in one tenant. */

/** Records of the cluster's scope, and of a tenant's: each is in every member's memory. */
const CLUSTER_RECORDS_MAX = 10_000;
const TENANT_RECORDS_MAX = 1000;
const PAGE_RECORDS = 250;

export function revocationEdge(deps: EdgeDeps): RevocationEdge {
  return {
    tokenRevoke: (caller, request) => tokenRevoke(deps, caller, request),
    tokenRevocations: (caller, request) => tokenRevocations(deps, caller, request.after),
    tokenUnrevoke: (caller, id) => tokenUnrevoke(deps, caller, id),
  };
}

function tokenRevoke(
  deps: EdgeDeps,
  caller: Caller,
  request: RevokeRequest,
): Promise<Reply<Revoked>> {
  const what = { action: "token-revoke", target: { key: textOf(request.target), rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await enterScope(context);
    let revoked: Revocation | undefined;
    const authorise = (): void => authoriseRevoking(context);
    const result = await proposeCredentials(context, authorise, () => {
      const { target } = request;
      if (target === undefined) throw new CofferError("invalid-argument", "name what to revoke");
      const isCluster = context.scope === CLUSTER_SCOPE;
      const plan = deps.revocations.plan(context.scope, {
        target,
        by: context.principal.subject,
        certificateEnds: request.certificateEnds === 0 ? undefined : request.certificateEnds,
        recordsMax: isCluster ? CLUSTER_RECORDS_MAX : TENANT_RECORDS_MAX,
      });
      revoked = plan.revoked;
      return { kind: "records", changes: plan.changes };
    });
    resultOf(result, "done");
    if (revoked === undefined) throw new CofferError("internal");
    return { body: { tenant: tenantOf(context), revocation: revoked }, revision: revision(0) };
  });
}

function tokenRevocations(
  deps: EdgeDeps,
  caller: Caller,
  after: string,
): ReturnType<RevocationEdge["tokenRevocations"]> {
  const what = { action: "token-revocations", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await enterScope(context);
    authoriseRevoking(context);
    const ids = deps.revocations.ids(context.scope).filter((id) => id > after);
    const page = ids.toSorted().slice(0, PAGE_RECORDS);
    const revocations = page
      .map((id) => readOne(context, id))
      .filter((known) => known !== undefined);
    const next = ids.length > page.length ? (page.at(-1) ?? "") : "";
    return { body: { tenant: tenantOf(context), revocations, next }, revision: revision(0) };
  });
}

function tokenUnrevoke(deps: EdgeDeps, caller: Caller, id: string): Promise<Reply<Revoked>> {
  const what = { action: "token-unrevoke", target: { key: id, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await enterScope(context);
    let revocation: Revocation | undefined;
    const authorise = (): void => authoriseRevoking(context);
    const result = await proposeCredentials(context, authorise, () => {
      revocation = readOne(context, id);
      if (revocation === undefined) {
        throw new CofferError("not-found", "no such revocation; see coffer token revocations");
      }
      const change = { table: "revocation", id, data: undefined, expect: "present" } as const;
      return { kind: "records", changes: [change] };
    });
    resultOf(result, "done");
    if (revocation === undefined) throw new CofferError("internal");
    const target = { key: textOf(revocation.target), rangeEnd: "" };
    context.touched.push({ action: "token-unrevoked", target });
    return { body: { tenant: tenantOf(context), revocation }, revision: revision(0) };
  });
}

/**
 * Moves the request into the cluster's scope for an operator who asks for no tenant: credentials of the
 * cluster are worth nothing in all of it then, and not only where the operator came by.
 */
async function enterScope(context: RequestContext): Promise<void> {
  await linearize(context);
  const asked = context.caller.tenantName;
  const isCluster = asked === undefined && isOperator(context, "token/revoke");
  if (isCluster || asked === SYSTEM_TENANT_NAME) actOnCluster(context);
}

function authoriseRevoking(context: RequestContext): void {
  if (context.scope === CLUSTER_SCOPE) authoriseOperator(context, "token/revoke");
  else authoriseAdmin(context, "token/revoke");
}

function readOne({ deps, scope }: RequestContext, id: string): Revocation | undefined {
  const data = deps.node.state.record(scope, "revocation", id);
  return data === undefined ? undefined : deps.revocations.read({ id, data });
}

function tenantOf({ scope, principal }: RequestContext): string {
  return scope === CLUSTER_SCOPE ? "" : principal.tenant;
}

/** For the audit record. */
function textOf(target: RevocationTarget | undefined): string {
  return target === undefined ? "" : JSON.stringify(target);
}
