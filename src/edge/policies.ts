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
  proposeChecked,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Action } from "./ports.ts";
import type { AccessAnswer, AccessQuestion, PolicyEdge, PolicyRow } from "./policy-requests.ts";
import type { Caller, Reply } from "./requests.ts";

/** Policies of one scope: a tenant's, or with the system tenant named, the cluster's. */

const ACTIONS: ReadonlySet<string> = new Set<Action>([
  "read",
  "list",
  "watch",
  "write",
  "delete",
  "lease",
  "admin",
]);

export function policyEdge(deps: EdgeDeps): PolicyEdge {
  return {
    policyList: (caller) => policyList(deps, caller),
    policyChange: (caller, request) => policyChange(deps, caller, request),
    policyAsk: (caller, question) => policyAsk(deps, caller, question),
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
  request: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
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
    const { subject, action } = question;
    if (!isAction(action)) {
      throw new CofferError(
        "invalid-argument",
        `unknown action '${action}', it is one of ${[...ACTIONS].join(", ")}`,
      );
    }
    const own = subject === "" || subject === context.principal.subject;
    if (own) authoriseAny(context);
    else authoriseAdmin(context, "policy/read");
    const asked = own ? context.principal : { subject, groups: [] };
    const range = keyRange(question.key, question.rangeEnd);
    const decision = deps.access.check(asked, context.scope, action, range);
    // A row that denies names a hole, which its subject must not learn of.
    const row = mayAdmin(context, "policy/read") ? decision.row : undefined;
    return { body: { allowed: decision.allowed, row }, revision: revision(0) };
  });
}

function rowsOf(context: RequestContext): readonly PolicyRow[] {
  const { access, node } = context.deps;
  return node.state.records(context.scope, "policy").map((record) => access.rowOf(record));
}

function changesOf(
  context: RequestContext,
  change: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): readonly RecordChange[] {
  if (change.add.length + change.remove.length === 0) {
    throw new CofferError("invalid-argument", "name at least one policy row to add or remove");
  }
  return context.deps.access.planPolicyChange(rowsOf(context), change);
}

function noteRow(context: RequestContext, action: string, row: PolicyRow): void {
  context.touched.push({ action, target: { key: row.join(", "), rangeEnd: "" } });
}

function isAction(text: string): text is Action {
  return ACTIONS.has(text);
}
