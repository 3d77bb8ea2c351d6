import { readFileSync } from "node:fs";
import type { Audit } from "../audit/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import { CofferError } from "../errors.ts";
import {
  type Identity,
  type IssuedToken,
  type IssuerRecord,
  createIdentity,
  importIssuerKey,
  issueToken,
  parseIssuerRecord,
} from "../identity/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Keyring } from "../seal/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import {
  BUILTIN_ISSUER,
  ISSUER_KEY_PURPOSE,
  ISSUER_KEY_SETTING,
  TOKEN_AUDIENCE,
} from "./bootstrap.ts";
import { processClock } from "./clock.ts";
import { memberEvent } from "./member-event.ts";

/** Who callers are, by the issuers of the cluster and of the configuration; and the built-in issuer. */
export interface MemberIdentity {
  readonly identity: Identity;
  issueToken(order: {
    readonly subject: string;
    readonly groups: readonly string[];
    readonly tenants: readonly string[];
    readonly ttlSeconds: number;
  }): Promise<IssuedToken>;
  /** A connection that got no further than the handshake still has its record. */
  auditRefusedConnection(audit: Audit, reason: string, address: string): void;
  close(): void;
}

export function openMemberIdentity(deps: {
  readonly config: ServerConfig;
  readonly node: Node;
  readonly keyring: Keyring;
  readonly log: Logger;
}): MemberIdentity {
  const { config, node, keyring, log } = deps;
  const configured = readIssuersFile(config.issuersFile);
  let issuers: readonly IssuerRecord[] | undefined;
  const endListening = node.onRecords(({ table }) => {
    if (table === "issuer") issuers = undefined;
  });
  const endReplacing = node.onStateReplaced(() => {
    issuers = undefined;
  });
  const readIssuers = (): readonly IssuerRecord[] => [
    ...node.state.records(CLUSTER_SCOPE, "issuer").map(({ data }) => parseIssuerRecord(data)),
    ...configured,
  ];
  const identity = createIdentity({
    issuers: () => (issuers ??= readIssuers()),
    clock: processClock,
    log,
    anonymousAs: config.anonymousAs,
  });
  return {
    identity,
    issueToken: async (order) => {
      const sealed = node.state.record(CLUSTER_SCOPE, "setting", ISSUER_KEY_SETTING);
      if (sealed === undefined) throw new CofferError("not-found", "the built-in issuer's key");
      const secret = keyring.openSecret(ISSUER_KEY_PURPOSE, sealed);
      try {
        const key = await importIssuerKey(secret);
        return await issueToken(key, {
          ...order,
          issuer: BUILTIN_ISSUER,
          audience: TOKEN_AUDIENCE,
          now: processClock.now(),
        });
      } finally {
        secret.fill(0);
      }
    },
    auditRefusedConnection: (audit, reason, address) => {
      audit
        .append(
          memberEvent({
            subject: "",
            peerAddress: address,
            action: "connect",
            outcome: "refused",
            reason,
          }),
        )
        .catch((cause: unknown) => log.warn("Refused connection was not recorded", { cause }));
    },
    close: () => {
      endListening();
      endReplacing();
      identity.close();
    },
  };
}

/** A JSON array of issuer records. */
function readIssuersFile(path: string | undefined): readonly IssuerRecord[] {
  if (path === undefined) return [];
  const bad = (problem: string, cause: unknown): CofferError =>
    new CofferError("invalid-argument", `--issuers-file ${path} ${problem}`, { cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw bad("cannot be read as JSON", cause);
  }
  if (!Array.isArray(parsed)) throw bad("is not a JSON array of issuer records", undefined);
  return parsed.map((one: unknown, i) => {
    try {
      return parseIssuerRecord(new TextEncoder().encode(JSON.stringify(one)));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : "it is not an issuer record";
      throw bad(`record ${i + 1}: ${reason}`, cause);
    }
  });
}
