import { CLUSTER_SCOPE, type RecordChange, revision } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import { changeClusterRecord, enterCluster } from "./cluster-records.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  authoriseOperator,
  runRequest,
} from "./gate.ts";
import type { IssuerEdge, IssuerInfo } from "./issuer-requests.ts";
import type { Caller, Reply } from "./requests.ts";

/** Who may issue tokens that this cluster takes: one record for each, the same on every member. */

/** Each has its keys in every member's memory, and is asked for them every few minutes. */
const ISSUERS_MAX = 256;

export function issuerEdge(deps: EdgeDeps): IssuerEdge {
  return {
    issuerAdd: (caller, request) => issuerAdd(deps, caller, request),
    issuerList: (caller) => issuerList(deps, caller),
    issuerShow: (caller, issuer) => issuerShow(deps, caller, issuer),
    issuerRemove: (caller, issuer) => issuerRemove(deps, caller, issuer),
  };
}

function issuerAdd(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly record: Uint8Array; readonly replace: boolean },
): Promise<Reply<IssuerInfo>> {
  return runRequest(deps, caller, { action: "issuer-add", target: NO_TARGET }, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "issuer/change");
    const { issuer, data } = deps.issuers.check(request.record);
    context.touched.push({ action: "issuer-added", target: { key: issuer, rangeEnd: "" } });
    if (issuer === deps.issuers.builtin) {
      throw new CofferError(
        "invalid-argument",
        `"${issuer}" is the built-in issuer; its key is changed by: coffer token rotate-key`,
      );
    }
    if (deps.issuers.isConfigured(issuer)) {
      throw new CofferError(
        "already-exists",
        "the --issuers-file of this member has that issuer; take it out there first",
      );
    }
    const known = deps.node.state.records(CLUSTER_SCOPE, "issuer");
    const isThere = known.some(({ id }) => id === issuer);
    if (!isThere && known.length >= ISSUERS_MAX) {
      throw new CofferError("quota-exceeded", `issuers: ${ISSUERS_MAX}`);
    }
    const expect = request.replace ? "any" : "absent";
    await change(context, { table: "issuer", id: issuer, data, expect }, () =>
      alreadyThere(issuer),
    );
    return { body: infoOf(deps, { id: issuer, data }), revision: revision(0) };
  });
}

function issuerList(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly IssuerInfo[]>> {
  return runRequest(deps, caller, { action: "issuer-list", target: NO_TARGET }, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "issuer/read");
    const known = deps.node.state.records(CLUSTER_SCOPE, "issuer");
    return { body: known.map((record) => infoOf(deps, record)), revision: revision(0) };
  });
}

function issuerShow(deps: EdgeDeps, caller: Caller, issuer: string): Promise<Reply<IssuerInfo>> {
  const what = { action: "issuer-show", target: { key: issuer, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "issuer/read");
    const data = deps.node.state.record(CLUSTER_SCOPE, "issuer", issuer);
    if (data === undefined) throw noIssuer(issuer);
    return { body: infoOf(deps, { id: issuer, data }), revision: revision(0) };
  });
}

/** Its tokens are refused from then on, and their watches end. */
function issuerRemove(deps: EdgeDeps, caller: Caller, issuer: string): Promise<Reply<undefined>> {
  const what = { action: "issuer-remove", target: { key: issuer, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "issuer/change");
    if (issuer === deps.issuers.builtin) {
      throw new CofferError(
        "invalid-argument",
        "the built-in issuer stays; to end all of its tokens: " +
          `coffer token revoke --issuer ${issuer} --issued-before TIME`,
      );
    }
    const removal = { table: "issuer", id: issuer, data: undefined, expect: "present" } as const;
    await change(context, removal, () => noIssuer(issuer));
    return { body: undefined, revision: revision(0) };
  });
}

function change(
  context: RequestContext,
  wanted: RecordChange,
  unexpected: () => CofferError,
): Promise<void> {
  return changeClusterRecord(context, { matter: "issuer/change", wanted, unexpected });
}

function infoOf(
  deps: EdgeDeps,
  { id, data }: { readonly id: string; readonly data: Uint8Array },
): IssuerInfo {
  const state = deps.issuers.keys(id);
  return {
    issuer: id,
    record: Buffer.from(data).toString("utf8"),
    isBuiltin: id === deps.issuers.builtin,
    keys: state?.keys ?? 0,
    failure:
      state === undefined ? "its record is not in use on this member" : (state.failure ?? ""),
  };
}

function alreadyThere(issuer: string): CofferError {
  return new CofferError("already-exists", `issuer "${issuer}"; --replace takes its place`);
}

function noIssuer(issuer: string): CofferError {
  return new CofferError("not-found", `issuer "${issuer}"; see coffer issuer list`);
}
