import { X509Certificate } from "node:crypto";
import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import { isTenantName, prefixedName, TENANTS_MAX } from "./names.ts";
import { type Identified, identified } from "./principal.ts";
import { refusalReason, refused } from "./refusal.ts";

/** The client certificate of a connection; TLS has verified its chain. */
export interface PeerCertificate {
  /** DER bytes. */
  readonly raw: Uint8Array;
  /** SHA-256 of `raw`, base64url without padding: RFC 8705 x5t#S256. */
  readonly thumbprint: string;
}

/** How certificates become principals. */
export interface CertificateRules {
  /**
   * `O=<prefix><name>` in the subject binds the tenant of that name; several may be given, the
   * first is the default.
   */
  readonly tenantPrefix: string;
  /** Tenants of a certificate that names none; the first is the default. */
  readonly tenants: readonly string[];
}

export const DEFAULT_CERTIFICATE_RULES: CertificateRules = {
  tenantPrefix: "tenant:",
  tenants: ["default"],
};

export interface CertificateVerifier {
  /** Throws `invalid-token`. Parses a certificate once, and checks its dates at every use. */
  verify(certificate: PeerCertificate): Identified;
}

export interface CertificateVerifierDeps {
  readonly rules: CertificateRules;
  readonly clock: Clock;
  readonly isCertificateRevoked: (thumbprint: string) => boolean;
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const CACHED_CERTIFICATES_MAX = 4096;

type Parsed =
  | { readonly who: Identified; readonly notBefore: number; readonly notAfter: number }
  | { readonly refusal: string };

export function createCertificateVerifier(deps: CertificateVerifierDeps): CertificateVerifier {
  const cache = new Map<string, Parsed>();
  const parsedOf = (certificate: PeerCertificate): Parsed => {
    const known = cache.get(certificate.thumbprint);
    if (known !== undefined) return known;
    const parsed = parse(certificate, deps.rules);
    if (cache.size >= CACHED_CERTIFICATES_MAX) cache.clear();
    cache.set(certificate.thumbprint, parsed);
    return parsed;
  };
  return {
    verify(certificate) {
      const parsed = parsedOf(certificate);
      if ("refusal" in parsed) throw refused(parsed.refusal);
      // TLS looked at the dates when the connection began; connections outlive certificates.
      const now = deps.clock.now();
      if (now < parsed.notBefore) throw refused("the certificate is not yet valid");
      if (now > parsed.notAfter) throw refused("the certificate has expired");
      if (deps.isCertificateRevoked(certificate.thumbprint)) {
        throw refused("the certificate is revoked");
      }
      return parsed.who;
    },
  };
}

function parse(certificate: PeerCertificate, rules: CertificateRules): Parsed {
  try {
    return parseOrThrow(certificate, rules);
  } catch (error) {
    if (error instanceof CofferError) return { refusal: refusalReason(error) ?? "refused" };
    return { refusal: "the certificate cannot be parsed" };
  }
}

function parseOrThrow(certificate: PeerCertificate, rules: CertificateRules): Parsed {
  const x509 = new X509Certificate(certificate.raw);
  // Node calls the extended key usages `keyUsage`; a certificate without the extension has none.
  const usages: readonly string[] | undefined = x509.keyUsage;
  if (!(usages ?? []).includes(CLIENT_AUTH)) throw refused("the certificate is not for clients");
  if (x509.ca) throw refused("the certificate is an authority's");
  const notBefore = Date.parse(x509.validFrom);
  const notAfter = Date.parse(x509.validTo);
  if (!(notBefore <= notAfter)) throw refused("the certificate's dates are not readable");
  // The legacy object holds decoded values, and an array where a field is repeated. The subject's
  // text form would have to be split, which is how CVE-2021-44533 happened.
  const names = x509.toLegacyObject().subject as unknown as Readonly<Record<string, unknown>>;
  const tenants = tenantsOf(names["O"], rules);
  const who = identified({
    subject: prefixedName("cert:", names["CN"], "the common name"),
    groups: [],
    issuer: "certificate",
    via: "certificate",
    tenant: tenants[0] ?? "",
    tenants,
    expires: notAfter,
    tokenId: undefined,
    issuedAt: undefined,
  });
  return { who, notBefore, notAfter };
}

function tenantsOf(organization: unknown, rules: CertificateRules): readonly string[] {
  const given: readonly unknown[] = Array.isArray(organization) ? organization : [organization];
  const bound = given
    .filter((name) => typeof name === "string")
    .filter((name) => name.startsWith(rules.tenantPrefix))
    .map((name) => name.slice(rules.tenantPrefix.length));
  if (bound.length === 0) return rules.tenants;
  if (bound.length > TENANTS_MAX || !bound.every(isTenantName)) {
    throw refused("the certificate's organization is not a tenant name");
  }
  return bound;
}
