import { X509Certificate } from "node:crypto";
import type { CertificateFacts } from "./certificate-facts.ts";
import type { CertificateMatch, CertificateRule } from "./certificate-rule.ts";

/**
 * Which rule a certificate goes by.
 *
 * Of the rules whose conditions it meets all, the one that is narrower than each of the others: every
 * certificate that meets it meets them too. So an exact name goes before its beginning with a star,
 * a longer beginning before a shorter one, and a rule before the same with a condition less, as an
 * operator who writes an exception means it. Neither names nor the time of adding count, which would
 * let a new rule move certificates in silence. Where no rule is narrower than all others it is not
 * known who is meant, and the certificate is refused.
 */
export type RuleChoice =
  | { readonly kind: "rule"; readonly rule: CertificateRule }
  /** No rule meets it; whether one names the authority that signed it. */
  | { readonly kind: "none"; readonly isAuthorityNamed: boolean }
  /** Names of rules of which neither is narrower. */
  | { readonly kind: "ambiguous"; readonly names: readonly string[] };

export interface CompiledRules {
  choose(facts: CertificateFacts): RuleChoice;
}

interface Compiled {
  readonly rule: CertificateRule;
  readonly authority: X509Certificate | undefined;
}

export function compileRules(rules: readonly CertificateRule[]): CompiledRules {
  const compiled = rules.map((rule): Compiled => {
    const { authority } = rule.match;
    const der = authority === undefined ? undefined : Buffer.from(authority, "base64");
    return { rule, authority: der === undefined ? undefined : new X509Certificate(der) };
  });
  return {
    choose(facts) {
      const met = compiled
        .filter((one) => isMet(one.rule.match, facts) && isSignedBy(facts.x509, one.authority))
        .map(({ rule }) => rule);
      if (met.length === 0) {
        const isAuthorityNamed = compiled.some(
          ({ authority }) => authority !== undefined && isSignedBy(facts.x509, authority),
        );
        return { kind: "none", isAuthorityNamed };
      }
      const narrowest = met.find((rule) =>
        met.every((other) => other === rule || isNarrower(rule, other)),
      );
      if (narrowest !== undefined) return { kind: "rule", rule: narrowest };
      return { kind: "ambiguous", names: widest(met) };
    },
  };
}

/** Whether every certificate that meets `a` meets `b` too, but not the other way. */
export function isNarrower(a: CertificateRule, b: CertificateRule): boolean {
  return isWithin(a.match, b.match) && !isWithin(b.match, a.match);
}

/** Whether two rules are met by the same certificates. */
export function isSameMatch(a: CertificateRule, b: CertificateRule): boolean {
  return isWithin(a.match, b.match) && isWithin(b.match, a.match);
}

/** Those that stand in the way of a decision: none that is wider than another which is met. */
function widest(met: readonly CertificateRule[]): readonly string[] {
  return met
    .filter((rule) => !met.some((other) => isNarrower(other, rule)))
    .map(({ name }) => name)
    .toSorted();
}

function isWithin(a: CertificateMatch, b: CertificateMatch): boolean {
  const fields = ["cn", "o", "ou", "uri"] as const;
  if (b.authority !== undefined && a.authority !== b.authority) return false;
  return fields.every((field) => {
    const [inner, outer] = [a[field], b[field]];
    if (outer === undefined) return true;
    return inner !== undefined && isPatternWithin(inner, outer);
  });
}

function isPatternWithin(inner: string, outer: string): boolean {
  return outer.endsWith("*") ? inner.startsWith(outer.slice(0, -1)) : inner === outer;
}

function isMet(match: CertificateMatch, facts: CertificateFacts): boolean {
  const { commonName, spiffeId } = facts;
  return (
    isMetBy(match.cn, commonName === undefined ? [] : [commonName]) &&
    isMetBy(match.o, facts.organizations) &&
    isMetBy(match.ou, facts.organizationalUnits) &&
    isMetBy(match.uri, spiffeId === undefined ? [] : [spiffeId])
  );
}

function isMetBy(pattern: string | undefined, values: readonly string[]): boolean {
  if (pattern === undefined) return true;
  if (!pattern.endsWith("*")) return values.includes(pattern);
  return values.some((value) => value.startsWith(pattern.slice(0, -1)));
}

/**
 * By the signature and not by the chain: a client chooses what it sends along with its certificate.
 * TLS has verified some chain of it; that this key signed it is certain here.
 */
function isSignedBy(x509: X509Certificate, authority: X509Certificate | undefined): boolean {
  if (authority === undefined) return true;
  return x509.checkIssued(authority) && x509.verify(authority.publicKey);
}
