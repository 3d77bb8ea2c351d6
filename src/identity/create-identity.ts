import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import {
  type CertificateRules,
  createCertificateVerifier,
  DEFAULT_CERTIFICATE_RULES,
  type PeerCertificate,
} from "./certificates.ts";
import type { IssuerRecord } from "./issuer-record.ts";
import { createIssuerTable } from "./issuer-table.ts";
import { createKeyRing } from "./key-ring.ts";
import { createKeyLoader, type LoadKeys } from "./key-source.ts";
import { isOwnSubject } from "./names.ts";
import { type Identified, identified, pickTenant, type Principal } from "./principal.ts";
import { createTokenVerifier, type RevocationQuestion } from "./token-verifier.ts";

/** What a request brings to prove who sent it. */
export interface Credentials {
  /** The raw `authorization` (or etcd `token`) metadata: `Bearer x` or `x`. */
  readonly authorization: string | undefined;
  readonly certificate: PeerCertificate | undefined;
  /** Metadata `coffer-tenant`. */
  readonly tenantName: string | undefined;
}

export interface Identity {
  /**
   * The principal of a request, for the tenant that it picked. Synchronous for a certificate and
   * for a token that was verified before; a token wins over a certificate, and a bad one never
   * falls back to it. Throws, or rejects with, CofferError: `invalid-token` (the reason is its
   * `cause`), `no-identity`, `permission-denied` for a tenant out of reach, `too-many-requests`.
   */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
  /** Verified tokens remembered now. */
  readonly cachedTokens: number;
  /** Issuers whose keys cannot be fetched now. */
  readonly keyFailures: number;
  /** Stops fetching keys. */
  close(): void;
}

/** What identity tells of its own work; a Logger fits. */
export interface IdentityNotices {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface IdentityOptions {
  /** Must answer the same array while nothing changed: it is compared at every request. */
  readonly issuers: () => readonly IssuerRecord[];
  readonly clock: Clock;
  readonly log: IdentityNotices;
  readonly certificateRules?: CertificateRules;
  /** Asked on every use of a token. Default: nothing is revoked. */
  readonly isRevoked?: (question: RevocationQuestion) => boolean;
  /** Asked on every use of a certificate, by x5t#S256. Default: nothing is revoked. */
  readonly isCertificateRevoked?: (thumbprint: string) => boolean;
  /**
   * The subject of requests without any credentials, such as `user:anonymous`; undefined: refused.
   */
  readonly anonymousAs?: string | undefined;
  /** The tenant of requests that name none and are bound to none. Default "default". */
  readonly defaultTenant?: string;
  /** Verified tokens remembered, about 1 KiB each. Default 10,000. */
  readonly cachedTokensMax?: number;
  /** Plain http for JWKS URLs on loopback. */
  readonly allowLoopbackHttp?: boolean;
  /** Replaces file and network, for tests. */
  readonly loadKeys?: LoadKeys;
}

const CACHED_TOKENS_MAX = 10_000;

export function createIdentity(options: IdentityOptions): Identity {
  const { clock, log } = options;
  const defaultTenant = options.defaultTenant ?? "default";
  const load =
    options.loadKeys ?? createKeyLoader({ allowLoopbackHttp: options.allowLoopbackHttp ?? false });
  const issuers = createIssuerTable({
    records: options.issuers,
    openKeys: (record) =>
      createKeyRing(record.keys, { clock, load, onFailure: keyNotices(log, record.issuer) }),
    onDuplicate: (issuer) =>
      log.warn("Two issuer records have one issuer; its tokens are refused", { issuer }),
  });
  const tokens = createTokenVerifier({
    issuers,
    clock,
    isRevoked: options.isRevoked ?? (() => false),
    defaultTenant,
    cachedTokensMax: options.cachedTokensMax ?? CACHED_TOKENS_MAX,
  });
  const certificates = createCertificateVerifier({
    rules: options.certificateRules ?? DEFAULT_CERTIFICATE_RULES,
    clock,
    isCertificateRevoked: options.isCertificateRevoked ?? (() => false),
  });
  const anonymous = anonymousOf(options.anonymousAs, defaultTenant);
  issuers.refresh();
  return {
    authenticate({ authorization, certificate, tenantName }) {
      if (authorization !== undefined) {
        const who = tokens.verify(authorization, certificate?.thumbprint);
        if (!(who instanceof Promise)) return pickTenant(who, tenantName);
        return who.then((verified) => pickTenant(verified, tenantName));
      }
      if (certificate !== undefined)
        return pickTenant(certificates.verify(certificate), tenantName);
      if (anonymous === undefined) throw new CofferError("no-identity");
      return pickTenant(anonymous, tenantName);
    },
    get cachedTokens() {
      return tokens.cached;
    },
    get keyFailures() {
      return issuers.failures();
    },
    close: () => issuers.close(),
  };
}

function anonymousOf(subject: string | undefined, tenant: string): Identified | undefined {
  if (subject === undefined) return undefined;
  if (!isOwnSubject(subject)) {
    throw new CofferError("invalid-argument", "the anonymous subject must be user:NAME");
  }
  return identified({
    subject,
    groups: [],
    issuer: "anonymous",
    via: "anonymous",
    tenant,
    tenants: [tenant],
    expires: undefined,
    tokenId: undefined,
    issuedAt: undefined,
  });
}

function keyNotices(log: IdentityNotices, issuer: string): (reason: string | undefined) => void {
  return (reason) => {
    if (reason === undefined) log.info("Keys of an issuer can be fetched again", { issuer });
    else log.warn("Keys of an issuer cannot be fetched; known ones last 24 h", { issuer, reason });
  };
}
