import { CofferError } from "../errors.ts";
import { type RecordChange, keyRange, revision } from "../core/types/mod.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authoriseAdmin,
  authoriseAny,
  catchUp,
  linearize,
  mayAdmin,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Action, Subject } from "./ports.ts";
import type {
  AccessAnswer,
  AccessExplanation,
  AccessQuestion,
  PolicyChange,
  PolicyEdge,
  PolicyRow,
  TrialResult,
  WhoCanAnswer,
  WhoCanQuestion,
} from "./policy-requests.ts";
import { tryChange } from "./policy-trial.ts";
import { proposeChecked } from "./propose.ts";
import type { Caller, Reply } from "./requests.ts";
import { ACTION_NAMES, isAction } from "./rights.ts";
import { createSlices } from "./slices.ts";

/** Policies of one scope: a tenant's, or with the system tenant named, the cluster's. */

export function policyEdge(deps: EdgeDeps): PolicyEdge {
  return {
    policyList: (caller) => policyList(deps, caller),
    policyChange: (caller, request) => policyChange(deps, caller, request),
    policyAsk: (caller, question) => policyAsk(deps, caller, question),
    policyWhoCan: (caller, question) => policyWhoCan(deps, caller, question),
    policyExplain: (caller, question) => policyExplain(deps, caller, question),
    policyTry: (caller, request) => policyTry(deps, caller, request),
  };
}

function policyList(
  deps: EdgeDeps,
  caller: Caller,
): Promise<Reply<{ readonly policyRevision: number; readonly rows: readonly PolicyRow[] }>> {
  return runRequest(deps, caller, { action: "policy-list", target: NO_TARGET }, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "policy/read");
    return {
      body: {
        policyRevision: deps.node.state.policyRevision(context.scope),
        rows: rowsOf(context),
      },
      revision: revision(0),
    };
  });
}

function policyChange(
  deps: EdgeDeps,
  caller: Caller,
  request: PolicyChange,
): Promise<Reply<{ readonly policyRevision: number }>> {
  const what = { action: "policy-change", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    // A row can be removed on any member as soon as its adding was answered.
    await catchUp(context);
    const result = await proposeChecked(context, () => {
      authoriseAdmin(context, "policy/change");
      return { kind: "records", changes: changesOf(context, request) };
    });
    const { policyRevision } = resultOf(result, "done");
    for (const row of request.add) noteRow(context, "policy-add", row);
    for (const row of request.remove) noteRow(context, "policy-remove", row);
    return { body: { policyRevision }, revision: revision(0) };
  });
}

/** May a subject do something? Everyone may ask for themselves; for others it takes `admin`. */
function policyAsk(
  deps: EdgeDeps,
  caller: Caller,
  question: AccessQuestion,
): Promise<Reply<AccessAnswer>> {
  const what = { action: "policy-ask", target: question };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    const action = actionOf(question.action);
    const asked = subjectOf(context, question);
    if (asked === context.principal) authoriseAny(context);
    else authoriseAdmin(context, "policy/read");
    const range = keyRange(question.key, question.rangeEnd);
    const decision = deps.access.check(asked, context.scope, action, range);
    // A row that denies names a hole, which its subject must not learn of.
    const row = mayAdmin(context, "policy/read") ? decision.row : undefined;
    return { body: { allowed: decision.allowed, row }, revision: revision(0) };
  });
}

/** Subjects of one page, and bytes of their rows: a row may hold 10 KiB. */
const HOLDERS_MAX = 1000;
const HOLDER_CHARS_MAX = 256 * 1024;

function policyWhoCan(
  deps: EdgeDeps,
  caller: Caller,
  question: WhoCanQuestion,
): Promise<Reply<WhoCanAnswer>> {
  const what = { action: "policy-who-can", target: question };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "policy/read");
    const action = actionOf(question.action);
    const limit = question.limit > 0 ? Math.min(question.limit, HOLDERS_MAX) : HOLDERS_MAX;
    const range = keyRange(question.key, question.rangeEnd);
    const policyRevision = deps.node.state.policyRevision(context.scope);
    const holders: { subject: string; row: PolicyRow }[] = [];
    const slices = createSlices(deps.clock);
    let chars = 0;
    let more = false;
    for (const holder of deps.access.whoCan(context.scope, action, range, question.after)) {
      if (slices.isOver()) await slices.next();
      if (holder === undefined) continue;
      more = holders.length >= limit || chars > HOLDER_CHARS_MAX;
      if (more) break;
      holders.push(holder);
      chars += holder.subject.length + holder.row.join().length;
    }
    const next = holders.at(-1)?.subject ?? question.after;
    return { body: { holders, more, next, policyRevision }, revision: revision(0) };
  });
}

/** Which rows decide, and by which chain of roles; may name holes, so it takes `policy/read`. */
function policyExplain(
  deps: EdgeDeps,
  caller: Caller,
  question: AccessQuestion,
): Promise<Reply<AccessExplanation>> {
  const what = { action: "policy-explain", target: question };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "policy/read");
    const action = actionOf(question.action);
    const { subject, groups } = subjectOf(context, question);
    const range = keyRange(question.key, question.rangeEnd);
    const found = deps.access.explain({ subject, groups }, context.scope, action, range);
    const { allowed, reason, grounds, missing } = found;
    const body = { subject, groups, allowed, reason, grounds, missing };
    return { body, revision: revision(0) };
  });
}

/**
 * Judges what this member has recorded of the tenant by a policy that is not in force. It tells of who
 * asked for what, so it takes the right to the audit trail too.
 */
function policyTry(
  deps: EdgeDeps,
  caller: Caller,
  request: PolicyChange & { readonly last: number },
): Promise<Reply<TrialResult>> {
  const what = { action: "policy-try", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await linearize(context);
    authoriseAdmin(context, "policy/read");
    authoriseAdmin(context, "audit/read");
    const body = await tryChange(context, rowsOf(context), request);
    return { body, revision: revision(0) };
  });
}

/** Who is asked about: the caller itself, by that name or by none and without other groups. */
function subjectOf(context: RequestContext, { subject, groups }: AccessQuestion): Subject {
  const { principal } = context;
  const isOwn = subject === "" || subject === principal.subject;
  if (isOwn && groups.length === 0) return principal;
  return { subject: subject === "" ? principal.subject : subject, groups };
}

function rowsOf(context: RequestContext): readonly PolicyRow[] {
  const { access, node } = context.deps;
  return node.state.records(context.scope, "policy").map((record) => access.rowOf(record));
}

function changesOf(context: RequestContext, change: PolicyChange): readonly RecordChange[] {
  if (change.add.length + change.remove.length === 0) {
    throw new CofferError("invalid-argument", "name at least one policy row to add or remove");
  }
  return context.deps.access.planPolicyChange(rowsOf(context), change);
}

function noteRow(context: RequestContext, action: string, row: PolicyRow): void {
  context.touched.push({ action, target: { key: row.join(", "), rangeEnd: "" } });
}

function actionOf(text: string): Action {
  if (isAction(text)) return text;
  throw new CofferError(
    "invalid-argument",
    `unknown action '${text}', it is one of ${ACTION_NAMES.join(", ")}`,
  );
}
