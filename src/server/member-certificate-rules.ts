import { CLUSTER_SCOPE } from "../core/types/mod.ts";
import { type CertificateRule, parseCertificateRule } from "../identity/mod.ts";
import type { Node } from "../node/mod.ts";
import { refused } from "../identity/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

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
