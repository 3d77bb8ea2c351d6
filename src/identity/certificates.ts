import { isTenantName } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import { type CertificateFacts, readCertificate } from "./certificate-facts.ts";
import { type CompiledRules, compileRules } from "./certificate-match.ts";
import { BUILT_IN_RULE, type CertificateRule } from "./certificate-rule.ts";
import { certificateSubject, GROUPS_MAX, prefixedName, TENANTS_MAX } from "./names.ts";
import { type Identified, identified, type Principal } from "./principal.ts";
import { refusalReason, refused } from "./refusal.ts";
import { claimsSpiffe } from "./spiffe-id.ts";

/** The client certificate of a connection; TLS has verified its chain. */
export interface PeerCertificate {
  /** DER bytes. */
  readonly raw: Uint8Array;
  /** SHA-256 of `raw`, base64url without padding: RFC 8705 x5t#S256. */
  readonly thumbprint: string;
}

/** How a certificate would be judged under some rules. */
export interface CertificateJudgement {
  /** The rule that decides; "built-in"; undefined if none does. */
  readonly rule: string | undefined;
  /** Undefined: it is refused. */
  readonly principal: Principal | undefined;
  /** Why it is refused; "" if it is not. */
  readonly refusal: string;
}

export interface CertificateVerifier {
  /** Throws `invalid-token`. Parses a certificate once, and checks its dates at every use. */
  verify(certificate: PeerCertificate): Identified;
  /** As `verify`, under these rules. Throws nothing, remembers nothing. */
  judge(certificate: PeerCertificate, rules: readonly CertificateRule[]): CertificateJudgement;
}

export interface CertificateVerifierDeps {
  /** Must answer the same array while nothing changed: it is compared at every request. */
  readonly rules: () => readonly CertificateRule[];
  readonly clock: Clock;
  readonly isCertificateRevoked: (thumbprint: string) => boolean;
  /** The tenant of a principal that may use any, when it names none. */
  readonly defaultTenant: string;
}

/** `O=tenant:NAME` binds the tenant of that name; several may be given, the first is the default. */
const TENANT_PREFIX = "tenant:";
const CACHED_CERTIFICATES_MAX = 4096;

interface Judged {
  readonly rule: string | undefined;
  readonly outcome:
    | { readonly who: Identified; readonly notBefore: number; readonly notAfter: number }
    | { readonly refusal: string };
}

export function createCertificateVerifier(deps: CertificateVerifierDeps): CertificateVerifier {
  const cache = new Map<string, Judged>();
  let known: { readonly rules: readonly CertificateRule[]; readonly compiled: CompiledRules } = {
    rules: [],
    compiled: compileRules([]),
  };
  const judgedOf = (certificate: PeerCertificate): Judged => {
    const rules = deps.rules();
    if (rules !== known.rules) {
      cache.clear();
      known = { rules, compiled: compileRules(rules) };
    }
    const found = cache.get(certificate.thumbprint);
    if (found !== undefined) return found;
    const judged = judge(certificate, known.compiled, deps.defaultTenant);
    if (cache.size >= CACHED_CERTIFICATES_MAX) cache.clear();
    cache.set(certificate.thumbprint, judged);
    return judged;
  };
  const admit = ({ outcome }: Judged, thumbprint: string): Identified => {
    if ("refusal" in outcome) throw refused(outcome.refusal);
    // TLS looked at the dates when the connection began; connections outlive certificates.
    const now = deps.clock.now();
    if (now < outcome.notBefore) {
      throw refused(`the certificate is not yet valid (from ${dateText(outcome.notBefore)})`);
    }
    if (now > outcome.notAfter) {
      throw refused(`the certificate has expired (at ${dateText(outcome.notAfter)})`);
    }
    if (deps.isCertificateRevoked(thumbprint)) throw refused("the certificate is revoked");
    return outcome.who;
  };
  return {
    verify: (certificate) => admit(judgedOf(certificate), certificate.thumbprint),
    judge(certificate, rules) {
      const judged = judge(certificate, compileRules(rules), deps.defaultTenant);
      try {
        const { principal } = admit(judged, certificate.thumbprint);
        return { rule: judged.rule, principal, refusal: "" };
      } catch (error) {
        return { rule: judged.rule, principal: undefined, refusal: reasonOf(error) };
      }
    },
  };
}

/** What holds for a certificate as long as the rules are the same. */
function judge(certificate: PeerCertificate, rules: CompiledRules, defaultTenant: string): Judged {
  let rule: string | undefined;
  try {
    const facts = readCertificate(certificate.raw);
    const choice = rules.choose(facts);
    if (choice.kind === "ambiguous") {
      const names = choice.names.join(", ");
      throw refused(`the certificate meets the rules ${names}, and none is narrower than the rest`);
    }
    if (choice.kind === "none" && choice.isAuthorityNamed) {
      // Whose authority an operator has bound by a rule must not reach past it.
      throw refused("the certificate's authority is bound by rules, and it meets none of them");
    }
    rule = choice.kind === "rule" ? choice.rule.name : BUILT_IN_RULE;
    const base =
      choice.kind === "rule" ? byRule(choice.rule, facts, defaultTenant) : byBuiltIn(facts);
    const { notBefore, notAfter } = facts;
    const who = identified({
      ...base,
      issuer: "certificate",
      via: "certificate",
      expires: notAfter,
      tokenId: undefined,
      issuedAt: Math.floor(notBefore / 1000),
    });
    return { rule, outcome: { who, notBefore, notAfter } };
  } catch (error) {
    return { rule, outcome: { refusal: reasonOf(error) } };
  }
}

type Named = Pick<Principal, "subject" | "groups" | "tenant" | "tenants">;

function byBuiltIn(facts: CertificateFacts): Named {
  const tenants = boundTenants(facts.organizations);
  const subject = subjectOf(commonNameOf(facts), "the common name");
  return { subject, groups: [], tenant: tenants[0] ?? "", tenants };
}

function byRule(rule: CertificateRule, facts: CertificateFacts, defaultTenant: string): Named {
  if (rule.tenants.length === 0) throw refused(`the rule "${rule.name}" refuses the certificate`);
  const tenant = rule.tenants === "*" ? defaultTenant : (rule.tenants[0] ?? defaultTenant);
  const groups = groupsOf(rule, facts);
  return { subject: nameBy(rule, facts), groups, tenant, tenants: rule.tenants };
}

function nameBy({ subject }: CertificateRule, facts: CertificateFacts): string {
  switch (subject.kind) {
    case "cn":
      return subjectOf(commonNameOf(facts), "the common name");
    case "uri":
      return subjectOf(facts.spiffeId, "the SPIFFE id");
    case "fixed":
      return subjectOf(subject.name, "the rule's subject");
  }
}

/** Who chooses the common names of an authority must not thereby speak as a workload of another's. */
function commonNameOf({ commonName }: CertificateFacts): string | undefined {
  if (commonName !== undefined && claimsSpiffe(commonName)) {
    throw refused("the common name is spelled like a SPIFFE id");
  }
  return commonName;
}

function subjectOf(name: string | undefined, what: string): string {
  if (name === undefined) throw refused(`${what} is missing, or there are several`);
  return certificateSubject(name, what);
}

function groupsOf(rule: CertificateRule, facts: CertificateFacts): readonly string[] {
  const named =
    rule.groupsFrom === "o"
      ? facts.organizations
      : rule.groupsFrom === "ou"
        ? facts.organizationalUnits
        : [];
  // Cutting the list, or a name from it, would drop what a deny row may name.
  for (const name of named) prefixedName("group:", name, "a group of the certificate");
  const groups = [...new Set([...rule.groups, ...named])];
  if (groups.length > GROUPS_MAX) throw refused("the certificate has too many groups");
  return groups;
}

function boundTenants(organizations: readonly string[]): readonly string[] {
  const bound = organizations
    .filter((name) => name.startsWith(TENANT_PREFIX))
    .map((name) => name.slice(TENANT_PREFIX.length));
  if (bound.length === 0) return ["default"];
  if (bound.length > TENANTS_MAX || !bound.every(isTenantName)) {
    throw refused("the certificate's organization is not a tenant name");
  }
  return bound;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof CofferError)) return "the certificate cannot be read";
  return refusalReason(error) ?? error.message;
}

/** To the second, as certificates have it. */
function dateText(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
