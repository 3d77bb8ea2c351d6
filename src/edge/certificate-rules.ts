import { CLUSTER_SCOPE, type RecordChange, revision } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type {
  CertificateRuleEdge,
  CertificateRuleInfo,
  CertificateVerdict,
} from "./certificate-rule-requests.ts";
import { changeClusterRecord, enterCluster } from "./cluster-records.ts";
import {
  type EdgeDeps,
  NO_TARGET,
  type RequestContext,
  SYSTEM_TENANT_NAME,
  authoriseOperator,
  runRequest,
} from "./gate.ts";
import type { Caller, Reply } from "./requests.ts";

/** Who client certificates are: one record for each rule, the same on every member. */

const TABLE = "certificate-rule";
/** A certificate is held against all of them when it is first seen, and again after each change. */
const RULES_MAX = 1000;
/** TLS takes no larger one. */
const CERTIFICATE_BYTES_MAX = 64 * 1024;

export function certificateRuleEdge(deps: EdgeDeps): CertificateRuleEdge {
  return {
    certificateRuleAdd: (caller, request) => ruleAdd(deps, caller, request),
    certificateRuleList: (caller) => ruleList(deps, caller),
    certificateRuleRemove: (caller, name) => ruleRemove(deps, caller, name),
    certificateTest: (caller, certificate) => certificateTest(deps, caller, certificate),
  };
}

function ruleAdd(
  deps: EdgeDeps,
  caller: Caller,
  request: { readonly record: Uint8Array; readonly authority: string; readonly replace: boolean },
): Promise<Reply<CertificateRuleInfo>> {
  const what = { action: "certificate-rule-add", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "certificate-rule/change");
    const { name, data } = deps.certificateRules.check(request.record, request.authority);
    const record = Buffer.from(data).toString("utf8");
    const expect = request.replace ? "any" : "absent";
    const detail = `certificate rule "${name}"; --replace takes its place`;
    await change(
      context,
      { table: TABLE, id: name, data, expect },
      () => new CofferError("already-exists", detail),
    );
    context.touched.push({
      action: "certificate-rule-added",
      target: { key: record, rangeEnd: "" },
    });
    return { body: { name, record }, revision: revision(0) };
  });
}

function ruleList(deps: EdgeDeps, caller: Caller): Promise<Reply<readonly CertificateRuleInfo[]>> {
  const what = { action: "certificate-rule-list", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "certificate-rule/read");
    const rules = [...rulesOf(deps)].map(([name, data]) => {
      return { name, record: Buffer.from(data).toString("utf8") };
    });
    return { body: rules, revision: revision(0) };
  });
}

/** Its certificates go by the other rules from then on; watches of who is another by them end. */
function ruleRemove(deps: EdgeDeps, caller: Caller, name: string): Promise<Reply<undefined>> {
  const what = { action: "certificate-rule-remove", target: { key: name, rangeEnd: "" } };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "certificate-rule/change");
    await change(
      context,
      { table: TABLE, id: name, data: undefined, expect: "present" },
      () => new CofferError("not-found", `certificate rule "${name}"; see coffer pki rule list`),
    );
    return { body: undefined, revision: revision(0) };
  });
}

function certificateTest(
  deps: EdgeDeps,
  caller: Caller,
  certificate: Uint8Array,
): Promise<Reply<CertificateVerdict>> {
  const what = { action: "certificate-test", target: NO_TARGET };
  return runRequest(deps, caller, what, async (context) => {
    await enterCluster(context);
    authoriseOperator(context, "certificate-rule/read");
    if (certificate.length > CERTIFICATE_BYTES_MAX) {
      throw new CofferError("invalid-argument", "a certificate has at most 64 KiB");
    }
    const body = deps.certificateRules.judge(certificate, [...rulesOf(deps).values()]);
    return { body, revision: revision(0) };
  });
}

function rulesOf({ node }: EdgeDeps): ReadonlyMap<string, Uint8Array> {
  const records = node.state.records(CLUSTER_SCOPE, TABLE);
  return new Map(records.map(({ id, data }) => [id, data]));
}

function change(
  context: RequestContext,
  wanted: RecordChange,
  unexpected: () => CofferError,
): Promise<void> {
  const check = (): void => checkRules(context, wanted);
  const matter = "certificate-rule/change";
  return changeClusterRecord(context, { matter, wanted, check, unexpected });
}

/** What the rules would be after the change must make sense together. */
function checkRules(context: RequestContext, { id, data }: RecordChange): void {
  const { deps, principal, caller } = context;
  const rules = new Map(rulesOf(deps));
  if (data === undefined) {
    if (!rules.delete(id)) return;
  } else {
    rules.delete(id);
    const twin = deps.certificateRules.twinOf(data, [...rules.values()]);
    if (twin !== undefined) {
      throw new CofferError("conflict", `the certificate rule "${twin}" has the same conditions`);
    }
    rules.set(id, data);
    if (rules.size > RULES_MAX) {
      throw new CofferError("quota-exceeded", `certificate rules: ${RULES_MAX}`);
    }
  }
  if (principal.issuer !== "certificate" || caller.certificate === undefined) return;
  const own = deps.certificateRules.judge(caller.certificate.raw, [...rules.values()]);
  const isOperator = own.tenants === "*" || own.tenants.includes(SYSTEM_TENANT_NAME);
  if (own.refusal === "" && isOperator && own.subject === principal.subject) return;
  throw new CofferError(
    "invalid-argument",
    "by these rules your own certificate would no longer be an operator's " +
      `(${own.refusal === "" ? `it would be ${own.subject} by rule "${own.rule}"` : own.refusal}); ` +
      "add a rule for it first, or use a token",
  );
}
