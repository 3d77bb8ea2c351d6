import { CofferError } from "../errors.ts";
import type { Clock } from "../stdx/mod.ts";
import type { CertificateRule } from "./certificate-rule.ts";
import {
  type CertificateJudgement,
  createCertificateVerifier,
  type PeerCertificate,
} from "./certificates.ts";
import type { IssuerRecord } from "./issuer-record.ts";
import { createIssuerTable, type IssuerTable } from "./issuer-table.ts";
import { createKeyRing } from "./key-ring.ts";
import { createKeyLoader, type LoadKeys } from "./key-source.ts";
import { isOwnSubject } from "./names.ts";
import { createNewestState } from "./newest-state.ts";
import { type Identified, identified, pickTenant, type Principal } from "./principal.ts";
import { refused } from "./refusal.ts";
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
  /**
   * Calls back after an issuer has withdrawn keys: what they judged is not live any more. Returns what ends
   * it.
   */
  onKeysWithdrawn(listener: () => void): () => void;
  /** Whether tokens of that issuer are taken. */
  hasIssuer(issuer: string): boolean;
  /** What is known of an issuer's keys now; undefined: no record, or two, have that issuer. */
  issuerKeys(issuer: string): IssuerKeyState | undefined;
  /**
   * Why a certificate no longer makes the principal that it made: the rules have changed; undefined:
   * it does.
   */
  recheckCertificate(
    principal: Pick<Principal, "subject" | "groups" | "tenant">,
    certificate: PeerCertificate,
  ): CofferError | undefined;
  /** Who a certificate would be under these rules; its chain is not looked at. */
  judgeCertificate(
    certificate: PeerCertificate,
    rules: readonly CertificateRule[],
  ): CertificateJudgement;
  /** Verified tokens remembered now. */
  readonly cachedTokens: number;
  /** Issuers whose keys cannot be fetched now. */
  readonly keyFailures: number;
  /** Stops fetching keys. */
  close(): void;
}

export interface IssuerKeyState {
  /** Keys that verify; 0 while none could be fetched. */
  readonly keys: number;
  /** Why the last fetch failed. */
  readonly failure: string | undefined;
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
  /** Must answer the same array while nothing changed. Default: none, so that the built-in one holds. */
  readonly certificateRules?: () => readonly CertificateRule[];
  /**
   * Resolves when this member has applied all that was acknowledged before the call; asked, at most ten
   * times a second, when a token names an issuer or a key that is not known here. Default: at once.
   */
  readonly newest?: () => Promise<void>;
  /** Asked on every use of a token or certificate. Default: nothing is revoked. */
  readonly isRevoked?: (question: RevocationQuestion) => boolean;
  /**
   * Asked, by x5t#S256, of every connection's certificate, whatever else the request brings. Default:
   * nothing is revoked.
   */
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
const NO_RULES: readonly CertificateRule[] = [];

export function createIdentity(options: IdentityOptions): Identity {
  const { clock, log } = options;
  const defaultTenant = options.defaultTenant ?? "default";
  const load =
    options.loadKeys ?? createKeyLoader({ allowLoopbackHttp: options.allowLoopbackHttp ?? false });
  const withdrawals = createWithdrawals();
  const rings = { clock, load, onWithdrawn: withdrawals.tell };
  const issuers = createIssuerTable({
    records: options.issuers,
    openKeys: (record) =>
      createKeyRing(record, { ...rings, onFailure: keyNotices(log, record.issuer) }),
    onDuplicate: (issuer) =>
      log.warn("Two issuer records have one issuer; its tokens are refused", { issuer }),
  });
  const newest = createNewestState({ clock, newest: options.newest ?? (() => Promise.resolve()) });
  const isRevoked = options.isRevoked ?? (() => false);
  const isCertificateRevoked = options.isCertificateRevoked ?? (() => false);
  const tokens = createTokenVerifier({
    issuers,
    clock,
    newest,
    isRevoked,
    defaultTenant,
    cachedTokensMax: options.cachedTokensMax ?? CACHED_TOKENS_MAX,
  });
  const certificates = createCertificateVerifier({
    rules: options.certificateRules ?? (() => NO_RULES),
    clock,
    isCertificateRevoked,
    defaultTenant,
  });
  const anonymous = anonymousOf(options.anonymousAs, defaultTenant);
  issuers.refresh();
  return {
    authenticate({ authorization, certificate, tenantName }) {
      if (certificate !== undefined && isCertificateRevoked(certificate.thumbprint)) {
        throw refused("the certificate of the connection is revoked");
      }
      if (authorization !== undefined) {
        const who = tokens.verify(authorization, certificate?.thumbprint);
        if (!(who instanceof Promise)) return pickTenant(who, tenantName);
        return who.then((verified) => pickTenant(verified, tenantName));
      }
      const who = certificate === undefined ? anonymous : certificates.verify(certificate);
      if (who === undefined) throw new CofferError("no-identity");
      if (isRevoked(who.principal)) throw refused("the subject is revoked");
      return pickTenant(who, tenantName);
    },
    onKeysWithdrawn: withdrawals.listen,
    hasIssuer(issuer) {
      issuers.refresh();
      return issuers.byIssuer(issuer) !== undefined;
    },
    issuerKeys: (issuer) => keyStateOf(issuers, issuer),
    recheckCertificate: (principal, certificate) =>
      recheck(() => certificates.verify(certificate), principal),
    judgeCertificate: (certificate, rules) => certificates.judge(certificate, rules),
    get cachedTokens() {
      return tokens.cached;
    },
    get keyFailures() {
      return issuers.failures();
    },
    close: () => {
      newest.close();
      issuers.close();
    },
  };
}

function recheck(
  verify: () => Identified,
  former: Pick<Principal, "subject" | "groups" | "tenant">,
): CofferError | undefined {
  try {
    const now = pickTenant(verify(), former.tenant);
    const isSame = now.subject === former.subject && sameGroups(now, former);
    return isSame ? undefined : refused("the rules of certificates name another now");
  } catch (error) {
    if (error instanceof CofferError) return error;
    throw error;
  }
}

type Grouped = Pick<Principal, "groups">;

function sameGroups({ groups }: Grouped, other: Grouped): boolean {
  return groups === other.groups || groups.join("\n") === other.groups.join("\n");
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

function keyStateOf(issuers: IssuerTable, issuer: string): IssuerKeyState | undefined {
  issuers.refresh();
  const keys = issuers.byIssuer(issuer)?.keys;
  return keys && { keys: keys.known?.keys ?? 0, failure: keys.failure };
}

function createWithdrawals(): {
  readonly tell: () => void;
  readonly listen: Identity["onKeysWithdrawn"];
} {
  const listeners = new Set<() => void>();
  return {
    tell: () => {
      for (const listener of listeners) listener();
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function keyNotices(log: IdentityNotices, issuer: string): (reason: string | undefined) => void {
  return (reason) => {
    if (reason === undefined) log.info("Keys of an issuer can be fetched again", { issuer });
    else log.warn("Keys of an issuer cannot be fetched; known ones last 24 h", { issuer, reason });
  };
}
