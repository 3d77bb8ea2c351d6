import { CLUSTER_SCOPE, type RecordChange, type TenantId } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import {
  type Identity,
  type IssuerRecord,
  type RevocationIndex,
  createRevocationIndex,
  planRevocation,
  readRevocation,
  refused,
} from "../identity/mod.ts";
import type { MemberNode, Node } from "../node/mod.ts";
import type { Clock, Scheduler } from "../stdx/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { processClock } from "./clock.ts";
import { BUILTIN_ISSUER } from "./issuer-keys.ts";

/** The index of what is revoked, kept in step with the records. */
export interface MemberRevocations {
  readonly index: RevocationIndex;
  /** Resolves when the index is in step with the records again; undefined: it is. */
  readonly settling: Promise<void> | undefined;
  /** Calls back after what is revoked in a scope may have grown. Returns what ends it. */
  onRevoked(listener: (scope: TenantId) => void): () => void;
  close(): void;
}

/** Milliseconds that one slice of reading everything again may take. */
const SLICE_MS_MAX = 2;

export function openMemberRevocations(deps: {
  readonly node: Node & Pick<MemberNode, "onTenantDeleted">;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly log: Logger;
}): MemberRevocations {
  return new FollowedRevocations(deps);
}

/**
 * One record that changes is put into the index before anybody hears that it was applied. When all of
 * the state is replaced, scopes are read again in slices; what was revoked before stays so meanwhile.
 */
class FollowedRevocations implements MemberRevocations {
  readonly index: RevocationIndex;
  readonly #deps: Parameters<typeof openMemberRevocations>[0];
  readonly #listeners = new Set<(scope: TenantId) => void>();
  /** Scopes to be read again, and the reading of the first of them. */
  readonly #stale = new Set<TenantId>();
  #reading: { readonly scope: TenantId; readonly steps: Generator<void> } | undefined;
  #settling: { readonly done: Promise<void>; readonly end: () => void } | undefined;
  #isScheduled = false;
  #isClosed = false;
  readonly #ends: readonly (() => void)[];

  constructor(deps: Parameters<typeof openMemberRevocations>[0]) {
    const { node, log } = deps;
    this.#deps = deps;
    this.index = createRevocationIndex((id) => {
      log.error("A revocation of a newer version is not in force on this member", { id });
    });
    // Nobody is served yet.
    for (const scope of this.#scopes()) for (const _ of this.#read(scope)) continue;
    // Its id is never used again; the records went with it.
    node.onTenantDeleted((tenant) => this.#forget(tenant));
    this.#ends = [
      node.onRecords(({ scope, table, ids }) => {
        if (table === "revocation" && ids !== undefined) this.#changed(scope, ids);
      }),
      node.onStateReplaced(() => {
        for (const scope of [...this.#scopes(), ...this.index.scopes]) this.#stale.add(scope);
        this.#reading = undefined;
        this.#settling ??= deferred();
        this.#readSoon();
      }),
    ];
  }

  get settling(): Promise<void> | undefined {
    return this.#settling?.done;
  }

  onRevoked(listener: (scope: TenantId) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#settling?.end();
    for (const end of this.#ends) end();
  }

  #changed(scope: TenantId, ids: readonly string[]): void {
    const { state } = this.#deps.node;
    for (const id of ids) this.index.set(scope, id, state.record(scope, "revocation", id));
    // Else the reading would put back what it has read before.
    if (this.#reading?.scope === scope) this.#reading = undefined;
    this.#tell(scope);
  }

  #forget(tenant: TenantId): void {
    this.index.drop(tenant);
    // Else the reading would put back what it has read before.
    if (this.#reading?.scope === tenant) this.#reading = undefined;
  }

  #readSoon(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#deps.scheduler.soon(() => {
      this.#isScheduled = false;
      if (!this.#isClosed) this.#readSlice();
    });
  }

  #readSlice(): void {
    const end = this.#deps.clock.now() + SLICE_MS_MAX;
    for (const scope of this.#stale) {
      if (this.#reading?.scope !== scope) this.#reading = { scope, steps: this.#read(scope) };
      const { steps } = this.#reading;
      while (steps.next().done !== true) {
        if (this.#deps.clock.now() >= end) return this.#readSoon();
      }
      this.#reading = undefined;
      this.#stale.delete(scope);
      this.#tell(scope);
      if (this.#deps.clock.now() >= end) return this.#readSoon();
    }
    this.#settling?.end();
    this.#settling = undefined;
  }

  #read(scope: TenantId): Generator<void> {
    return this.index.replace(scope, this.#deps.node.state.records(scope, "revocation"));
  }

  #scopes(): readonly TenantId[] {
    return [CLUSTER_SCOPE, ...this.#deps.node.state.tenants().map(({ id }) => id)];
  }

  #tell(scope: TenantId): void {
    for (const listener of this.#listeners) listener(scope);
  }
}

function deferred(): { readonly done: Promise<void>; readonly end: () => void } {
  let end = (): void => undefined;
  const done = new Promise<void>((resolve) => (end = resolve));
  return { done, end };
}

/** The changes that end every token of the built-in issuer, and what runs on one. */
export function endTokens({ index }: MemberRevocations): readonly RecordChange[] {
  const now = processClock.now();
  const issuedBefore = Math.floor(now / 1000);
  const order = {
    target: { kind: "issuer", issuer: BUILTIN_ISSUER, issuedBefore } as const,
    by: "system:rotate-key",
    now,
    maxAgeSeconds: undefined,
    certificateEnds: undefined,
    // Not to be kept from it by what is revoked already.
    recordsMax: Number.POSITIVE_INFINITY,
  };
  return planRevocation(order, index.known(CLUSTER_SCOPE)).changes;
}

/** See IdentityPort.recheck of the edge. */
export function rechecker(
  identity: Identity,
  { index }: MemberRevocations,
): EdgeParts["identity"]["recheck"] {
  return (principal, certificate, scope) => {
    const { issuer, subject, tokenId, issuedAt, judgedBy } = principal;
    const isToken = issuer !== "certificate" && issuer !== "anonymous";
    if (isToken && !identity.hasIssuer(issuer)) return refused("the issuer is not known any more");
    // Asked after `hasIssuer`, which follows the records. By another record it may be somebody else's. The
    // built-in issuer's changes by its own keys only, which end no token that is not revoked.
    if (judgedBy?.live === false && issuer !== BUILTIN_ISSUER) {
      return refused("the record or the keys of the issuer have changed");
    }
    const question = { issuer, subject, tokenId, issuedAt };
    if (index.isRevoked(question) || index.isRevokedIn(scope, question)) {
      return refused("the credentials are revoked");
    }
    if (certificate === undefined) return undefined;
    const { thumbprint } = certificate;
    const scopes = [CLUSTER_SCOPE, scope];
    if (scopes.some((one) => index.isCertificateRevoked(one, thumbprint))) {
      return refused("the certificate is revoked");
    }
    return isToken ? undefined : identity.recheckCertificate(principal, certificate);
  };
}

export function revocationPort(
  { index }: MemberRevocations,
  issuers: () => readonly IssuerRecord[],
): EdgeParts["revocations"] {
  return {
    plan: (scope, order) => {
      const now = processClock.now();
      const seconds = Math.floor(now / 1000);
      let { target } = order;
      if (target.kind === "token" && target.issuer === "") {
        target = { ...target, issuer: BUILTIN_ISSUER };
      } else if ("issuedBefore" in target && target.issuedBefore === 0) {
        target = { ...target, issuedBefore: seconds };
      }
      const issuer = "issuer" in target ? target.issuer : "";
      const maxAgeSeconds = issuers().find((one) => one.issuer === issuer)?.maxAgeSeconds;
      return planRevocation({ ...order, target, now, maxAgeSeconds }, index.known(scope));
    },
    ids: (scope) => [...index.known(scope)].map(({ id }) => id),
    read: readRevocation,
  };
}
