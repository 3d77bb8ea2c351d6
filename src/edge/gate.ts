import { CofferError, type ErrorCode } from "../errors.ts";
import {
  type Actor,
  type ApplyResult,
  CLUSTER_SCOPE,
  type KeyRange,
  type Revision,
  NO_LIMITS,
  type TenantId,
  type TenantLimits,
  key,
} from "../core/types/mod.ts";
import type { Node } from "../node/mod.ts";
import { type EdgeMetrics, countToken, counted } from "./counts.ts";
import type { CredentialTurns } from "./credential-turns.ts";
import { admit, refuseMeanwhile } from "./credentials.ts";
import type { FormerTenants } from "./former-tenants.ts";
import type { LeaderWatch } from "./leader-watch.ts";
import type {
  AccessPort,
  Action,
  AdminMatter,
  AuditEvent,
  AuditPort,
  CertificateRulePort,
  ChainAt,
  CheckTxn,
  Clock,
  EdgeLimits,
  EdgeRandom,
  EdgeVersions,
  IdentityPort,
  IssuerPort,
  PeerLink,
  Principal,
  RevocationPort,
  RecordedRequest,
  SealPort,
  TokenPort,
} from "./ports.ts";
import type { Caller, Reply, ReplyHeader } from "./requests.ts";
import { type Right, isAllowed, matterRange, nameOf, rightTexts } from "./rights.ts";
import type { RefusalRecords } from "./refusal-records.ts";
import type { TenantActivity } from "./tenant-activity.ts";
import { enterTenant, recordFailure } from "./tenant-gate.ts";
import type { Logger } from "../telemetry/mod.ts";

export interface EdgeDeps {
  readonly node: Node;
  readonly identity: IdentityPort;
  readonly access: AccessPort;
  readonly seal: SealPort;
  readonly audit: AuditPort;
  readonly tokens: TokenPort;
  readonly revocations: RevocationPort;
  readonly issuers: IssuerPort;
  readonly certificateRules: CertificateRulePort;
  readonly random: EdgeRandom;
  readonly clock: Clock;
  readonly limits: EdgeLimits;
  readonly versions: EdgeVersions;
  readonly checkTxn: CheckTxn;
  /** Bytes of the state on disk. */
  readonly size: () => { readonly total: number; readonly inUse: number };
  /** Alarms raised on this member. */
  readonly alarms: () => readonly ("nospace" | "corrupt")[];
  /** The ways to other members; undefined: without NATS servers the cluster stays one member. */
  readonly links: (() => readonly PeerLink[]) | undefined;
  /** HOST:PORT of the NATS servers while this member is connected to none; undefined: it is, or needs none. */
  readonly natsMissing: () => readonly string[] | undefined;
  /** The tenant's hash chain at a revision, 0 for the latest; see core/fsm. */
  readonly chainAt: ChainAt;
  /** Reads a line of the audit log; undefined if it is none. */
  readonly recordedRequest: (line: string) => RecordedRequest | undefined;
  /** Ends what may not outlive the leader; one for all streams of the member. */
  readonly leaderWatch: LeaderWatch;
  readonly formerTenants: FormerTenants;
  /** What each tenant does on this member. */
  readonly activity: TenantActivity;
  readonly refusals: RefusalRecords;
  readonly credentialTurns: CredentialTurns;
  readonly metrics: EdgeMetrics;
  /** Calls back after a tenant was deleted. */
  readonly onTenantDeleted: (listener: (tenant: TenantId) => void) => void;
  readonly log: Logger;
}

/** What `createEdge` is given: all but what it makes itself. */
export type EdgeParts = Omit<
  EdgeDeps,
  "leaderWatch" | "formerTenants" | "activity" | "refusals" | "credentialTurns"
>;

/** The name by which a caller asks for the cluster's own scope. No tenant can have it. */
export const SYSTEM_TENANT_NAME = "system";

/** The whole key space. */
export const ALL_KEYS: KeyRange = { lo: key(""), hi: undefined };

/** Before a request has found its scope. */
const NO_SCOPE = "" as TenantId;

/** What a request touched, for its audit record. */
export interface Target {
  readonly key: string;
  readonly rangeEnd: string;
}

export const NO_TARGET: Target = { key: "", rangeEnd: "" };

/** Who asks while nobody is known to, for the audit record. */
export const NOBODY: AuditEvent["actor"] = { issuer: "", subject: "", groups: [] };

/** What a request does, for its audit record and for the rules that hold for all requests. */
export interface Operation {
  readonly action: string;
  readonly target: Target;
  /** Whether a learner answers it (etcd v3rpc/util.go: status, serializable ranges, snapshots). */
  readonly onLearner?: boolean;
}

/** One authenticated request on its way through the gate. */
export interface RequestContext {
  readonly deps: EdgeDeps;
  readonly caller: Caller;
  principal: Principal;
  /** The tenant, or CLUSTER_SCOPE. */
  scope: TenantId;
  /** The tenant's, as they were when the request came. */
  limits: TenantLimits;
  /** It is one too many for its tenant's requests per second. */
  isOverRate: boolean;
  readonly actor: Actor;
  /** Whose audit trail the request belongs to: the scope's, or the cluster's for its operators' work. */
  auditScope: TenantId;
  /** The policy revision that `authorise` decided at. */
  policyRevision: number;
  /** The scope's when its credentials were last found good, see credentials.ts. */
  credentialRevision: number;
  /** What it has asked of the policy, for its audit record. */
  readonly rights: Right[];
  /** More operations of this request, each of which gets a record of its own. */
  readonly touched: { action: string; target: Target }[];
}

/** What a request's work hands back: the body, and the tenant's revision for the header. */
export interface Outcome<T> {
  readonly body: T;
  readonly revision: Revision;
}

/**
 * Runs one request: authenticate, find its tenant, work (which authorises, seals, proposes or reads,
 * and opens), audit, answer. Nothing is answered, and no refusal either, before its record is
 * written, or in a flood of refusals counted for one.
 */
export async function runRequest<T>(
  deps: EdgeDeps,
  caller: Caller,
  what: Operation,
  work: (context: RequestContext) => Promise<Outcome<T>>,
): Promise<Reply<T>> {
  let context: RequestContext | undefined;
  let outcome: Outcome<T>;
  try {
    if (deps.audit.blocked !== undefined) await probeAudit(deps, caller, what);
    // Most know at once, and a turn of the microtasks is not free.
    const identified = identify(deps, caller);
    context = identified instanceof Promise ? await identified : identified;
    const entering = enterScope(context, what);
    if (entering !== undefined) await entering;
    outcome = await work(context);
  } catch (error) {
    const failure = asCofferError(deps, error, what.action);
    if (failure.code === "audit-blocked") throw failure;
    countToken(deps.metrics, caller, context !== undefined && failure.code !== "invalid-token");
    const event = auditEvent(caller, context, what, failure);
    await (context === undefined
      ? deps.refusals.add(event)
      : recordFailure(context, failure, event));
    throw failure;
  }
  countToken(deps.metrics, caller, true);
  const revision = outcome.revision;
  for (const { action, target } of context.touched) {
    // Written in the same turn as the last one, so only that one is awaited.
    const part = { action, target, isPart: true };
    deps.audit.append(auditEvent(caller, context, part, revision)).catch(() => {});
  }
  await deps.audit.append(auditEvent(caller, context, what, revision));
  return { header: replyHeader(deps, revision), body: outcome.body };
}

/** etcd's header at a revision. */
export function replyHeader(deps: EdgeDeps, revision: Revision): ReplyHeader {
  const { node } = deps;
  return {
    clusterId: node.clusterId,
    memberId: node.memberId,
    revision,
    term: node.term,
  };
}

/** Authenticates the caller; the scope it asks for is still to be found. */
function identify(deps: EdgeDeps, caller: Caller): RequestContext | Promise<RequestContext> {
  const { authorization, certificate } = caller;
  const verified = deps.identity.authenticate({
    authorization,
    certificate,
    tenantName: undefined,
  });
  return verified instanceof Promise
    ? verified.then((principal) => contextOf(deps, caller, principal))
    : contextOf(deps, caller, verified);
}

function contextOf(deps: EdgeDeps, caller: Caller, principal: Principal): RequestContext {
  return {
    deps,
    caller,
    principal,
    scope: NO_SCOPE,
    limits: NO_LIMITS,
    isOverRate: false,
    auditScope: NO_SCOPE,
    actor: {
      issuer: principal.issuer,
      subject: principal.subject,
      requestId: caller.requestId,
    },
    policyRevision: 0,
    credentialRevision: 0,
    rights: [],
    touched: [],
  };
}

/** Finds the scope that the caller asks for; who asks is known by now, for the record of a refusal. */
function enterScope(context: RequestContext, what: Operation): Promise<void> | undefined {
  const { deps, caller } = context;
  if (caller.tenantName !== undefined) {
    const picked = deps.identity.authenticate(caller);
    if (picked instanceof Promise) {
      return picked.then((principal) => {
        context.principal = principal;
        return findScope(context, what);
      });
    }
    context.principal = picked;
  }
  return findScope(context, what);
}

/** Its principal is the one for the tenant that it asks for. */
function findScope(context: RequestContext, what: Operation): Promise<void> | undefined {
  const { deps, caller } = context;
  const { leader, isLearner } = deps.node;
  if (isLearner && what.onLearner !== true) throw new CofferError("not-supported-for-learner");
  if (caller.requireLeader && leader === 0n) throw new CofferError("no-leader");
  const scope = scopeOf(deps, context.principal);
  if (scope !== undefined || what.onLearner === true) return enterFound(context, scope);
  // A tenant that another member has just made may not have come here yet.
  return linearize(context).then(() => enterFound(context, scopeOf(deps, context.principal)));
}

function enterFound(context: RequestContext, scope: TenantId | undefined): undefined {
  // Refused in the words of a forbidden one: names are not to be probed.
  if (scope === undefined) throw denied("no such tenant");
  context.scope = scope;
  context.auditScope = scope;
  admit(context);
  enterTenant(context);
  return undefined;
}

function scopeOf(deps: EdgeDeps, principal: Principal): TenantId | undefined {
  if (principal.tenant === SYSTEM_TENANT_NAME) return CLUSTER_SCOPE;
  return deps.node.state.tenantByName(principal.tenant)?.id;
}

/** Refuses unless the caller may do `action` to all of `range` in the request's scope. */
export function authorise(context: RequestContext, action: Action, range: KeyRange): void {
  authoriseAll(context, [{ kind: "keys", action, range }]);
}

/** Refuses unless the caller has all of `rights`, which are all noted before the first refusal. */
export function authoriseAll(context: RequestContext, rights: readonly Right[]): void {
  const { access: policy, metrics, node } = context.deps;
  const { state } = node;
  for (const right of rights) context.rights.push(right);
  // Nothing else runs before the last answer, so they are all of this revision.
  context.policyRevision = state.policyRevision(context.scope);
  const judge = { policy, state };
  for (const right of rights) {
    if (!counted(metrics, isAllowed(right, context, judge))) throw denied(nameOf(right));
  }
}

/** Refuses unless the caller may administer `matter` in the request's scope. */
export function authoriseAdmin(context: RequestContext, matter: AdminMatter): void {
  authorise(context, "admin", matterRange(matter));
}

/** Whether the caller may administer `matter`; for choices that refuse nothing. */
export function mayAdmin(context: RequestContext, matter: AdminMatter): boolean {
  const { access } = context.deps;
  return access.check(context.principal, context.scope, "admin", matterRange(matter)).allowed;
}

/** Refuses a caller that holds no right at all in its tenant. */
export function authoriseAny(context: RequestContext): void {
  authoriseAll(context, [{ kind: "any" }]);
}

/**
 * Refuses unless the caller runs the cluster: its credentials are bound to the system scope, so that
 * no tenant's issuer can spell an operator's name, and a policy row of that scope grants the matter.
 */
export function authoriseOperator(context: RequestContext, matter: AdminMatter): void {
  if (!isSystemBound(context.principal)) {
    throw denied("credentials are not bound to the system scope");
  }
  authoriseAll(context, [{ kind: "operator", matter }]);
  context.policyRevision = context.deps.node.state.policyRevision(CLUSTER_SCOPE);
  // The names of other tenants are not for the trail of the one that the operator came by.
  context.auditScope = CLUSTER_SCOPE;
}

/** Whether `authoriseOperator` would let the caller through. */
export function isOperator(context: RequestContext, matter: AdminMatter): boolean {
  const { principal, deps } = context;
  if (!isSystemBound(principal)) return false;
  return deps.access.check(principal, CLUSTER_SCOPE, "admin", matterRange(matter)).allowed;
}

function isSystemBound({ tenants }: Principal): boolean {
  return tenants === "*" || tenants.includes(SYSTEM_TENANT_NAME);
}

/** Refuses the system scope where only a tenant makes sense. */
export function requireTenant(context: RequestContext): TenantId {
  if (context.scope === CLUSTER_SCOPE) throw denied("the system scope holds no keys");
  return context.scope;
}

/** Waits until the local state may be read linearizably, and refuses who is let in no more by it. */
export async function linearize(context: RequestContext): Promise<void> {
  const wait = context.deps.node.readIndex();
  if (wait === undefined) return;
  await wait;
  const { settling } = context.deps.identity;
  if (settling !== undefined) await settling;
  if (context.scope !== NO_SCOPE) refuseMeanwhile(context);
}

/**
 * Waits for what others have answered to come here too. The leader applies a write before anybody can
 * answer it, so there it takes no round; one that has been replaced and does not know yet is behind by
 * no more than that time.
 */
export async function catchUp(context: RequestContext): Promise<void> {
  const { node } = context.deps;
  if (node.leader !== node.memberId) await linearize(context);
}

/**
 * Runs `check` on the state of this member, and again on the newest before it refuses: a right that
 * another member has just granted may not have come here yet.
 */
export async function authoriseNewest(context: RequestContext, check: () => void): Promise<void> {
  try {
    check();
  } catch (error) {
    if (!isDenied(error)) throw error;
    await linearize(context);
    check();
  }
}

/**
 * Refuses writes that add to the store while it is over its quota. Reads, deletes and compaction go on,
 * so that there is a way back (etcd server/etcdserver/apply: the capped applier).
 */
export function refuseAtQuota(deps: EdgeDeps): void {
  if (deps.alarms().includes("nospace")) throw new CofferError("no-space");
}

/** The revision of the request's tenant now. */
export function currentRevision(context: RequestContext): Revision {
  const tenant = context.deps.node.state.tenant(context.scope);
  if (tenant === undefined) throw denied("no such tenant");
  return tenant.revision;
}

export function isDenied(error: unknown): boolean {
  return error instanceof CofferError && error.code === "permission-denied";
}

/** `permission-denied`; the reason goes to the audit record and not to the caller. */
export function denied(reason: string): CofferError {
  return new CofferError("permission-denied", undefined, { cause: reason });
}

/** Narrows an apply result to the kind its command answers with. */
export function resultOf<K extends ApplyResult["kind"]>(
  result: ApplyResult,
  kind: K,
): Extract<ApplyResult, { kind: K }> {
  if (result.kind !== kind) {
    throw new CofferError("internal", undefined, { cause: `apply answered ${result.kind}` });
  }
  return result as Extract<ApplyResult, { kind: K }>;
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "permission-denied",
  "invalid-token",
  "no-identity",
  "key-too-long",
  "too-many-requests",
  "tenant-suspended",
  "quota-exceeded",
]);

function asCofferError(deps: EdgeDeps, error: unknown, action: string): CofferError {
  if (error instanceof CofferError) return error;
  deps.log.error("Request failed inside", { action, cause: error });
  return new CofferError("internal", undefined, { cause: error });
}

/** After a failed write of the audit file, the next request tries it again before anything else. */
async function probeAudit(
  deps: EdgeDeps,
  caller: Caller,
  what: { readonly action: string; readonly target: Target },
): Promise<void> {
  const failure = new CofferError("audit-blocked");
  await deps.audit.append(auditEvent(caller, undefined, what, failure));
}

/**
 * The record of one operation: `end` is the revision it was answered at, or why it was not. `isPart`: of
 * a request whose own record names the rights.
 */
export function auditEvent(
  caller: Caller,
  context: RequestContext | undefined,
  what: { readonly action: string; readonly target: Target; readonly isPart?: boolean },
  end: Revision | CofferError,
): AuditEvent {
  const failure = typeof end === "number" ? undefined : end;
  return {
    tenant: context?.auditScope ?? "",
    revision: typeof end === "number" ? end : 0,
    policyRevision: context?.policyRevision ?? 0,
    requestId: caller.requestId,
    actor: context?.principal ?? NOBODY,
    certThumbprint: caller.certificate?.thumbprint ?? "",
    peerAddress: caller.peerAddress,
    action: what.action,
    key: what.target.key,
    rangeEnd: what.target.rangeEnd,
    rights: rightTexts(what.isPart === true ? [] : (context?.rights ?? []), what.target),
    outcome: failure === undefined ? "ok" : REFUSALS.has(failure.code) ? "refused" : "failed",
    reason: failure === undefined ? "" : reasonOf(failure),
  };
}

function reasonOf(failure: CofferError): string {
  const { cause } = failure;
  if (typeof cause === "string") return `${failure.code}: ${cause}`;
  if (cause instanceof Error && REFUSALS.has(failure.code)) {
    return `${failure.code}: ${cause.message}`;
  }
  return failure.code;
}
