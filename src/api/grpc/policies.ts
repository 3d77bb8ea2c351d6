import { FROM_KEY, type Key, isSingleKey, key } from "../../core/types/mod.ts";
import type { AccessExplanation, Edge, PolicyRow, TrialResult } from "../../edge/mod.ts";
import { policyApi } from "../../proto/mod.ts";
import { byteStringOf, bytesOf } from "../../stdx/mod.ts";
import { type Method, clamp, headerOf, unary, whole } from "./method.ts";

/** coffer.v1.Policies. */
export function policyMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Policies/List",
      { request: policyApi.PolicyListRequest, response: policyApi.PolicyListResponse },
      async (caller) => {
        const { header, body } = await edge.policyList(caller);
        const rows = body.rows.map((fields) => ({ fields: [...fields] }));
        return { header: headerOf(header), policyRevision: whole(body.policyRevision), rows };
      },
    ),
    unary(
      "/coffer.v1.Policies/Change",
      { request: policyApi.PolicyChangeRequest, response: policyApi.PolicyChangeResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyChange(caller, {
          add: request.add.map((row) => row.fields),
          remove: request.remove.map((row) => row.fields),
        });
        return { header: headerOf(header), policyRevision: whole(body.policyRevision) };
      },
    ),
    unary(
      "/coffer.v1.Policies/Ask",
      { request: policyApi.PolicyAskRequest, response: policyApi.PolicyAskResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyAsk(caller, {
          subject: request.subject,
          groups: request.groups,
          action: request.action,
          ...rangeOf(request),
        });
        const row = body.row === undefined ? undefined : { fields: [...body.row] };
        return { header: headerOf(header), allowed: body.allowed, row };
      },
    ),
    ...inquiryMethods(edge),
  ];
}

/** Questions for those who may read the policy. */
function inquiryMethods(edge: Edge): readonly Method[] {
  return [
    unary(
      "/coffer.v1.Policies/WhoCan",
      { request: policyApi.PolicyWhoCanRequest, response: policyApi.PolicyWhoCanResponse },
      async (caller, request) => {
        const { action, after } = request;
        const limit = clamp(request.limit);
        const question = { action, after, limit, ...rangeOf(request) };
        const { header, body } = await edge.policyWhoCan(caller, question);
        const holders = body.holders.map(({ subject, row }) => ({ subject, row: rowOf(row) }));
        const { more, next } = body;
        const policyRevision = whole(body.policyRevision);
        return { header: headerOf(header), holders, more, next, policyRevision };
      },
    ),
    unary(
      "/coffer.v1.Policies/Explain",
      { request: policyApi.PolicyExplainRequest, response: policyApi.PolicyExplainResponse },
      async (caller, request) => {
        const { subject, groups, action } = request;
        const question = { subject, groups, action, ...rangeOf(request) };
        const { header, body } = await edge.policyExplain(caller, question);
        return explanationOf(headerOf(header), body);
      },
    ),
    unary(
      "/coffer.v1.Policies/Try",
      { request: policyApi.PolicyTryRequest, response: policyApi.PolicyTryResponse },
      async (caller, request) => {
        const { header, body } = await edge.policyTry(caller, {
          add: request.add.map((row) => row.fields),
          remove: request.remove.map((row) => row.fields),
          last: clamp(request.last),
        });
        return trialOf(headerOf(header), body);
      },
    ),
  ];
}

function rangeOf(request: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): {
  readonly key: Key;
  readonly rangeEnd: Key;
} {
  return {
    key: key(byteStringOf(request.key)),
    rangeEnd: key(byteStringOf(request.rangeEnd)),
  };
}

function rowOf(row: PolicyRow): policyApi.PolicyRow {
  return { fields: [...row] };
}

type Header = ReturnType<typeof headerOf>;

function explanationOf(header: Header, body: AccessExplanation): policyApi.PolicyExplainResponse {
  const { subject, groups, allowed, reason, grounds, missing } = body;
  const end = missing?.hi;
  const isOne = missing !== undefined && isSingleKey(missing);
  return {
    header,
    subject,
    groups: [...groups],
    allowed,
    reason,
    grounds: grounds.map(({ row, via }) => ({ row: rowOf(row), via: [...via] })),
    missingKey: bytesOf(missing?.lo ?? ""),
    missingRangeEnd: bytesOf(missing === undefined || isOne ? "" : (end ?? FROM_KEY)),
  };
}

function trialOf(header: Header, body: TrialResult): policyApi.PolicyTryResponse {
  return {
    header,
    problems: [...body.problems],
    records: whole(body.records),
    judged: whole(body.judged),
    moved: whole(body.moved),
    cut: whole(body.cut),
    oldest: whole(body.oldest),
    changes: body.changes.map((change) => ({
      subject: change.subject,
      groups: [...change.groups],
      action: change.action,
      key: bytesOf(change.key),
      rangeEnd: bytesOf(change.rangeEnd),
      allowedNow: change.allowedNow,
      count: whole(change.count),
      lastSeen: whole(change.lastSeen),
    })),
    changesTotal: whole(body.changesTotal),
    locksOut: body.locksOut,
  };
}
