import { CLUSTER_SCOPE, type StoredRecord, type TenantId } from "../core/types/mod.ts";
import { type KnownRevocation, readRevocation } from "./revocation-record.ts";
import type { RevocationQuestion } from "./token-verifier.ts";

/**
 * What is revoked, in memory: asked on every use of every credential, so it reads no database. Some
 * 200 bytes for each record.
 */
export interface RevocationIndex {
  /** Whether the cluster has revoked it, for all tenants. */
  isRevoked(question: RevocationQuestion): boolean;
  /** Whether a tenant has revoked it for itself. */
  isRevokedIn(scope: TenantId, question: RevocationQuestion): boolean;
  isCertificateRevoked(scope: TenantId, thumbprint: string): boolean;
  /** One record is now `data`; undefined: it is gone. */
  set(scope: TenantId, id: string, data: Uint8Array | undefined): void;
  /** All records of a scope are now `records`: in slices of ROWS_PER_SLICE, each of a `next()`. */
  replace(scope: TenantId, records: readonly StoredRecord[]): Generator<void, void, void>;
  drop(scope: TenantId): void;
  readonly scopes: Iterable<TenantId>;
  known(scope: TenantId): Iterable<KnownRevocation>;
}

const ROWS_PER_SLICE = 100;

/** `onUnreadable` is told the ids of records that a newer Coffer wrote; they revoke nothing here. */
export function createRevocationIndex(onUnreadable: (id: string) => void): RevocationIndex {
  const scopes = new Map<TenantId, ScopeRevocations>();
  // Apart, since every request asks it.
  let ofCluster = new ScopeRevocations(onUnreadable);
  scopes.set(CLUSTER_SCOPE, ofCluster);
  const put = (scope: TenantId, known: ScopeRevocations): void => {
    if (scope === CLUSTER_SCOPE) ofCluster = known;
    else if (known.size === 0) scopes.delete(scope);
    if (scope === CLUSTER_SCOPE || known.size > 0) scopes.set(scope, known);
  };
  return {
    isRevoked: (question) => ofCluster.has(question),
    isRevokedIn: (scope, question) => scopes.get(scope)?.has(question) ?? false,
    isCertificateRevoked: (scope, thumbprint) =>
      scopes.get(scope)?.certificates.has(thumbprint) ?? false,
    set(scope, id, data) {
      const known = scopes.get(scope) ?? new ScopeRevocations(onUnreadable);
      known.remove(id);
      if (data !== undefined) known.add({ id, data });
      put(scope, known);
    },
    *replace(scope, records) {
      const next = new ScopeRevocations(onUnreadable);
      for (const [at, record] of records.entries()) {
        next.add(record);
        if (at % ROWS_PER_SLICE === ROWS_PER_SLICE - 1) yield;
      }
      put(scope, next);
    },
    drop: (scope) => put(scope, new ScopeRevocations(onUnreadable)),
    get scopes() {
      return scopes.keys();
    },
    known: (scope) => scopes.get(scope)?.known() ?? [],
  };
}

/** What is revoked of one issuer, or of any. */
class IssuerRevocations {
  readonly tokens = new Set<string>();
  /** Times by subject. More than one only until the next revocation of that subject. */
  readonly subjects = new Map<string, Set<number>>();
  readonly all = new Set<number>();

  has({ tokenId, subject, issuedAt }: RevocationQuestion): boolean {
    if (tokenId !== undefined && this.tokens.has(tokenId)) return true;
    return isBefore(issuedAt, this.all) || isBefore(issuedAt, this.subjects.get(subject));
  }
}

/** Without a time of issue it counts as issued before any. */
function isBefore(issuedAt: number | undefined, times: ReadonlySet<number> | undefined): boolean {
  if (times === undefined) return false;
  for (const time of times) if (Math.floor(issuedAt ?? 0) <= time) return true;
  return false;
}

/** Invariant: `#issuers` and `certificates` say what the targets in `#known` say. */
class ScopeRevocations {
  readonly #known = new Map<string, KnownRevocation>();
  readonly #issuers = new Map<string, IssuerRevocations>();
  readonly certificates = new Set<string>();
  readonly #onUnreadable: (id: string) => void;

  constructor(onUnreadable: (id: string) => void) {
    this.#onUnreadable = onUnreadable;
  }

  get size(): number {
    return this.#known.size;
  }

  known(): Iterable<KnownRevocation> {
    return this.#known.values();
  }

  has(question: RevocationQuestion): boolean {
    if (this.#issuers.size === 0) return false;
    if (this.#issuers.get(question.issuer)?.has(question) === true) return true;
    return this.#issuers.get("")?.has(question) ?? false;
  }

  add(record: StoredRecord): void {
    const revocation = readRevocation(record);
    if (revocation === undefined) {
      this.#onUnreadable(record.id);
      return;
    }
    const { id, target, expires } = revocation;
    this.#known.set(id, { id, target, expires });
    if (target.kind === "certificate") {
      this.certificates.add(target.thumbprint);
      return;
    }
    const of = this.#issuers.get(target.issuer) ?? new IssuerRevocations();
    this.#issuers.set(target.issuer, of);
    if (target.kind === "token") of.tokens.add(target.tokenId);
    else if (target.kind === "issuer") of.all.add(target.issuedBefore);
    else {
      const times = of.subjects.get(target.subject) ?? new Set();
      times.add(target.issuedBefore);
      of.subjects.set(target.subject, times);
    }
  }

  remove(id: string): void {
    const target = this.#known.get(id)?.target;
    if (target === undefined) return;
    this.#known.delete(id);
    if (target.kind === "certificate") {
      this.certificates.delete(target.thumbprint);
      return;
    }
    const of = this.#issuers.get(target.issuer);
    if (of === undefined) return;
    if (target.kind === "token") of.tokens.delete(target.tokenId);
    else if (target.kind === "issuer") of.all.delete(target.issuedBefore);
    else {
      const times = of.subjects.get(target.subject);
      times?.delete(target.issuedBefore);
      if (times?.size === 0) of.subjects.delete(target.subject);
    }
    if (of.tokens.size + of.all.size + of.subjects.size === 0) this.#issuers.delete(target.issuer);
  }
}
