import type { ServerConfig } from "../config/mod.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import { type Identity, type IssuedToken, createIdentity } from "../identity/mod.ts";
import type { MemberNode } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { processClock, processScheduler } from "./clock.ts";
import { planKeyRotation, rotateByAge } from "./issuer-keys.ts";
import { certificateRulePort, followCertificateRules } from "./member-certificate-rules.ts";
import { followIssuers, issuerPort } from "./member-issuers.ts";
import {
  endTokens,
  openMemberRevocations,
  rechecker,
  revocationPort,
} from "./member-revocations.ts";
import { type TokenOrder, signToken, tenantIdsOf } from "./member-tokens.ts";

/** Who callers are, by the issuers of the cluster and of the configuration; and the built-in issuer. */
export interface MemberIdentity {
  readonly identity: Identity;
  /** For the edge. */
  readonly ports: Pick<
    EdgeParts,
    "identity" | "tokens" | "revocations" | "issuers" | "certificateRules"
  >;
  /** Issuers whose keys cannot be fetched now. */
  failedIssuers(): number;
  issueToken(order: {
    readonly subject: string;
    readonly groups: readonly string[];
    readonly tenants: readonly string[];
    readonly ttlSeconds: number;
  }): Promise<IssuedToken>;
  close(): void;
}

interface Deps {
  readonly config: ServerConfig;
  readonly node: MemberNode;
  readonly keyring: Keyring;
  readonly log: Logger;
}

export function openMemberIdentity(deps: Deps): MemberIdentity {
  const { config, node, keyring, log } = deps;
  const timing = { clock: processClock, scheduler: processScheduler };
  // First, so that what is revoked is in its index before anything else hears of it.
  const revoked = openMemberRevocations({ node, log, ...timing });
  const issuers = followIssuers(deps);
  const rules = followCertificateRules(deps);
  const identity = createIdentity({
    issuers: issuers.all,
    certificateRules: rules.all,
    clock: processClock,
    log,
    anonymousAs: config.anonymousAs,
    newest: () => node.readIndex() ?? Promise.resolve(),
    isRevoked: revoked.index.isRevoked,
    isCertificateRevoked: (thumbprint) =>
      revoked.index.isCertificateRevoked(CLUSTER_SCOPE, thumbprint),
  });
  const keys = { node, keyring, clock: processClock };
  const endRotation = rotateByAge({ ...keys, node, log, scheduler: processScheduler });
  const issue = (order: TokenOrder): Promise<IssuedToken> => signToken(keys, revoked.index, order);
  const port: EdgeParts["identity"] = {
    authenticate: (credentials) => identity.authenticate(credentials),
    recheck: rechecker(identity, revoked),
    get settling() {
      return revoked.settling;
    },
    onRevoked: (listener) => {
      const endRevoked = revoked.onRevoked(listener);
      const endChanged = issuers.onChanged(() => listener(CLUSTER_SCOPE));
      const endRules = rules.onChanged(() => listener(CLUSTER_SCOPE));
      const endKeys = identity.onKeysWithdrawn(() => listener(CLUSTER_SCOPE));
      return () => {
        endKeys();
        endRules();
        endRevoked();
        endChanged();
      };
    },
  };
  return {
    identity,
    ports: {
      identity: port,
      tokens: {
        issue,
        planRotation: async (dropFormer) => {
          const { keyId, changes } = await planKeyRotation(keys, dropFormer);
          return { keyId, changes: [...changes, ...(dropFormer ? endTokens(revoked) : [])] };
        },
      },
      revocations: revocationPort(revoked, issuers.all),
      issuers: issuerPort(issuers, identity),
      certificateRules: certificateRulePort(config, identity),
    },
    failedIssuers: () =>
      issuers.all().filter(({ issuer }) => identity.issuerKeys(issuer)?.failure !== undefined)
        .length,
    issueToken: (order) => issue({ ...order, tenantIds: tenantIdsOf(node, order.tenants) }),
    close: () => {
      endRotation();
      issuers.close();
      rules.close();
      identity.close();
      revoked.close();
    },
  };
}
