import { CofferError } from "../errors.ts";
import { type RecordChange, keyRange, revision } from "../core/types/mod.ts";
import {
  ALL_KEYS,
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authorise,
  authoriseAny,
  linearize,
  proposeChecked,
  resultOf,
  runRequest,
} from "./gate.ts";
import type { Action } from "./ports.ts";
import type { AccessAnswer, AccessQuestion, Caller, PolicyRow, Reply } from "./requests.ts";

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

export function policyList(
  deps: EdgeDeps,
  caller: Caller,
): Promise<Reply<{ readonly policyRevision: number; readonly rows: readonly PolicyRow[] }>> {
  return runRequest(deps, caller, { action: "policy-list", target: NO_TARGET }, async (context) => {
    await linearize(context);
    authorise(context, "admin", ALL_KEYS);
    return {
      body: {
        policyRevision: deps.node.state.policyRevision(context.scope),
        rows: rowsOf(context),
      },
      revision: revision(0),
    };
  });
}

export function policyChange(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): Promise<Reply<{ readonly policyRevision: number }>> {
  const what = { action: "policy-change", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    const result = await proposeChecked(context, () => {
      authorise(context, "admin", ALL_KEYS);
      return { kind: "records", changes: changesOf(context, request) };
    });
    const { policyRevision } = resultOf(result, "done");
    for (const row of request.add) noteRow(context, "policy-add", row);
    for (const row of request.remove) noteRow(context, "policy-remove", row);
    return { body: { policyRevision }, revision: revision(0) };
  });
}

/** May a subject do something? Everyone may ask for themselves; for others it takes `admin`. */
export function policyAsk(
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
    else authorise(context, "admin", ALL_KEYS);
    const asked = own ? context.principal : { subject, groups: [] };
    const range = keyRange(question.key, question.rangeEnd);
    const decision = deps.access.check(asked, context.scope, action, range);
    return { body: { allowed: decision.allowed, row: decision.row }, revision: revision(0) };
  });
}

function rowsOf(context: RequestContext): readonly PolicyRow[] {
  const { access, node } = context.deps;
  return node.state.records(context.scope, "policy").map((record) => access.rowOf(record));
}

/** All rows valid, and every row that is to be removed there; else nothing happens. */
function changesOf(
  context: RequestContext,
  request: { readonly add: readonly PolicyRow[]; readonly remove: readonly PolicyRow[] },
): readonly RecordChange[] {
  const { access } = context.deps;
  const removed = new Map(request.remove.map((row) => [access.recordOf(row).id, row]));
  const stay = rowsOf(context).filter((row) => !removed.has(access.recordOf(row).id));
  access.validateRows(request.add, stay);
  const added = request.add.map((row): RecordChange => {
    const record = access.recordOf(row);
    return { table: "policy", id: record.id, data: record.data, expect: "any" };
  });
  const taken = [...removed.keys()].map((id): RecordChange => {
    return { table: "policy", id, data: undefined, expect: "present" };
  });
  if (added.length + taken.length === 0) {
    throw new CofferError("invalid-argument", "name at least one policy row to add or remove");
  }
  return [...taken, ...added];
}

function noteRow(context: RequestContext, action: string, row: PolicyRow): void {
  context.touched.push({ action, target: { key: row.join(", "), rangeEnd: "" } });
}

function isAction(text: string): text is Action {
  return ACTIONS.has(text);
}
