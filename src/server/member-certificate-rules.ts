import { createHash } from "node:crypto";
import type { ServerConfig } from "../config/mod.ts";
import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import type { EdgeParts } from "../edge/mod.ts";
import { CofferError } from "../errors.ts";
import {
  type CertificateRule,
  type Identity,
  encodeCertificateRule,
  isSameMatch,
  parseCertificateRule,
  refused,
  withCertificateAuthority,
} from "../identity/mod.ts";
import type { Node } from "../node/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { readTls } from "./client-port.ts";
import { processClock } from "./clock.ts";

/** The rules of certificates, the same array while none changes. */
export interface FollowedRules {
  /** Throws `invalid-token` while one of them cannot be read: who it is about is not known. */
  readonly all: () => readonly CertificateRule[];
  onChanged(listener: () => void): () => void;
  close(): void;
}

export function followCertificateRules({
  node,
  log,
}: {
  readonly node: Node;
  readonly log: Logger;
}): FollowedRules {
  const listeners = new Set<() => void>();
  let known: readonly CertificateRule[] | "unreadable" | undefined;
  const forget = (): void => {
    known = undefined;
    for (const listener of listeners) listener();
  };
  const ends = [
    node.onRecords(({ table }) => {
      if (table === "certificate-rule") forget();
    }),
    node.onStateReplaced(forget),
  ];
  const read = (): readonly CertificateRule[] | "unreadable" => {
    try {
      return node.state
        .records(CLUSTER_SCOPE, "certificate-rule")
        .map(({ data }) => parseCertificateRule(data));
    } catch (cause) {
      log.error("A certificate rule of a newer version; certificates are refused", { cause });
      return "unreadable";
    }
  };
  return {
    all: () => {
      known ??= read();
      if (known === "unreadable") throw refused("a certificate rule cannot be read");
      return known;
    },
    onChanged: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      for (const end of ends) end();
    },
  };
}

/** What the edge asks of rules. The files of authorities are read when asked: operators ask seldom. */
export function certificateRulePort(
  config: ServerConfig,
  identity: Identity,
): EdgeParts["certificateRules"] {
  return {
    check: (record, authority) => {
      const rule = parseCertificateRule(
        authority === ""
          ? record
          : withCertificateAuthority(record, authorityOf(config, authority)),
      );
      return { name: rule.name, data: encodeCertificateRule(rule) };
    },
    twinOf: (data, others) => {
      const rule = parseCertificateRule(data);
      return others.map(parseCertificateRule).find((other) => isSameMatch(rule, other))?.name;
    },
    judge: (raw, records) => {
      const thumbprint = createHash("sha256").update(raw).digest("base64url");
      const rules = records.map(parseCertificateRule);
      const { rule, principal, refusal } = identity.judgeCertificate({ raw, thumbprint }, rules);
      return {
        rule: rule ?? "",
        refusal,
        subject: principal?.subject ?? "",
        groups: principal?.groups ?? [],
        tenants: principal?.tenants ?? [],
        distrust: distrustOf(config, raw),
      };
    },
  };
}

function authorityOf(config: ServerConfig, thumbprint: string): Uint8Array {
  const found = readTls(config)?.trust?.authority(thumbprint);
  if (found !== undefined) return found;
  throw new CofferError(
    "invalid-argument",
    `no authority in this member's --client-ca has the thumbprint ${JSON.stringify(thumbprint)}; ` +
      "see coffer pki inspect, or give its file",
  );
}

function distrustOf(config: ServerConfig, raw: Uint8Array): string {
  const trust = readTls(config)?.trust;
  if (trust === undefined) return "this member has no --client-ca and asks for no certificates";
  try {
    return trust.problemOf(raw, processClock.now()) ?? "";
  } catch {
    return "it cannot be read";
  }
}
